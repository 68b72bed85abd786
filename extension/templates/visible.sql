-- The visible messages with the smallest msg_id, in order, not locked: due ones and ready ones
-- merged. Of many due messages, only those that fell due first take part: the work is bounded.
CREATE OR REPLACE FUNCTION pgmq._visible_$queue(as_of timestamptz, quantity bigint, condition jsonb)
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    RETURN ARRAY(
        SELECT u.msg_id
        FROM (
            (
                SELECT q.msg_id
                FROM pgmq.q_$queue AS q
                WHERE $live(q) AND q.vt > q.enqueued_at AND q.vt <= as_of
                    AND q.vt >= (SELECT pgmq._parked_mark('pgmq.parked_mark_$queue'))
                    AND (condition IS NULL OR q.message @> condition)
                ORDER BY q.vt
                LIMIT greatest(200, 2 * quantity)
            )
            UNION ALL
            (
                SELECT q.msg_id
                FROM pgmq.q_$queue AS q
                WHERE $live(q) AND q.vt <= q.enqueued_at
                    AND q.msg_id >= (SELECT pgmq._id_mark('pgmq.ready_mark_$queue'))
                    AND (condition IS NULL OR q.message @> condition)
                ORDER BY q.msg_id
                LIMIT quantity
            )
        ) AS u
        ORDER BY u.msg_id
        LIMIT quantity
    );
END
$$;
