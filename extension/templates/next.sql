-- When the next message is visible: the vt of the first ready one, or of the first parked one;
-- null when there is none.
CREATE OR REPLACE FUNCTION pgmq._next_$queue()
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_ready bigint := pgmq._id_mark('pgmq.ready_mark_$queue');
    v_parked timestamptz := pgmq._parked_mark('pgmq.parked_mark_$queue');
BEGIN
    --# if partitioned
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_$queue');
    END IF;
    --# end
    RETURN least(
        (
            SELECT q.vt FROM pgmq.q_$queue AS q
            WHERE $live(q) AND q.vt <= q.enqueued_at AND q.msg_id >= v_ready
            ORDER BY q.msg_id
            LIMIT 1
        ),
        (
            SELECT q.vt FROM pgmq.q_$queue AS q
            WHERE $live(q) AND q.vt > q.enqueued_at AND q.vt >= v_parked
            ORDER BY q.vt
            LIMIT 1
        )
    );
END
$$;
