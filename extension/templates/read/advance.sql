--# for leases
-- Move the low-water marks as far as is safe, and return whether one was moved back.
-- pgmq._advance() does this and says why.
--
-- SECURITY DEFINER: a reader has no right to set the sequences. The caller only says whether to
-- sweep.
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
