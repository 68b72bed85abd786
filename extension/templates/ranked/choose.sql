--# for priorities
-- Lock as many visible messages as are wanted, as the template for other queues does, but those
-- that come first by priority: see ranked. They are locked one after the other, in that order.
CREATE OR REPLACE FUNCTION pgmq._choose_$queue(
    as_of timestamptz,
    quantity integer,
    condition jsonb,
    breadth bigint,
    held bigint[],
    OUT looked_at integer,
    OUT locked bigint[],
    OUT is_sweep_due boolean
)
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    --# if schedules
    PERFORM FROM pgmq.q_$queue WHERE false;     -- locked first: see drop_queue
    IF pgmq._is_tick_due('pgmq.tick_due_$queue') THEN
        PERFORM pgmq._fire(queue_name$policy);
    END IF;
    --# end
    SELECT
        pg_catalog.cardinality(l.msg_ids),
        ARRAY(
            SELECT m.msg_id
            FROM pg_catalog.unnest(l.msg_ids) AS u (id)
            CROSS JOIN LATERAL (
                SELECT q.msg_id
                FROM pgmq.q_$queue AS q
                WHERE lookup$partitions(q) AND q.msg_id = u.id
                    AND (q.msg_id IN (SELECT h.id FROM pg_catalog.unnest(held) AS h (id)))
                        IS NOT TRUE
                    AND (q.vt <= as_of OR q.vt <= q.enqueued_at)
                    AND (condition IS NULL OR q.message @> condition)   -- see the other choose
                    AND pgmq._may('UPDATE', queue_name$policy, 'pgmq.q_$queue')
                FOR UPDATE SKIP LOCKED
            ) AS m
            LIMIT quantity
        ),
        pgmq._is_sweep_due('pgmq.parked_mark_$queue', 'pgmq.sweep_due_$queue')
    INTO looked_at, locked, is_sweep_due
    FROM (
        SELECT pgmq._ranked_$queue(as_of, breadth, condition) AS msg_ids
        OFFSET 0        -- once, for both
    ) AS l;
END
$$;
