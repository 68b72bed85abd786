-- Move the low-water marks as far as is safe; returns whether one was moved back. What it does, and
-- why, is in pgmq._advance().
--
-- SECURITY DEFINER: whoever reads has no right to set the sequences. Nothing comes from the caller
-- but the wish for a sweep.
CREATE OR REPLACE FUNCTION pgmq._advance_$queue(sweep boolean DEFAULT false)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN pgmq._advance(
        'pgmq.q_$queue', 'pgmq.ready_mark_$queue', 'pgmq.parked_mark_$queue',
        'pgmq.sweep_due_$queue', sweep
    );
END
$$;
