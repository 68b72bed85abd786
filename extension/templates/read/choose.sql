--# for unranked
-- Lock as many visible messages as are wanted beside those that are held already, the smallest
-- msg_id first, due and ready ones merged. Return how many messages were looked at, and which are
-- locked. (No more are locked than are wanted: nobody else would get those.) To bound the work, of
-- many due messages only those that fell due first take part. Also return whether the marks need
-- upkeep: a sweep is due, or the clock was set back. This is a step of read and pop, and of
-- _claim(); while only ready messages are visible, these take them in one statement of their own.
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
        pg_catalog.cardinality(l.msg_ids), l.msg_ids,
        pgmq._is_sweep_due('pgmq.parked_mark_$queue', 'pgmq.sweep_due_$queue')
    INTO looked_at, locked, is_sweep_due
    FROM (
        SELECT ARRAY(
            SELECT u.msg_id
            FROM (
                (
                    SELECT q.msg_id
                    FROM pgmq.q_$queue AS q
                    WHERE live$partitions(q) AND q.vt > q.enqueued_at AND q.vt <= as_of
                        AND q.vt >= pgmq._parked_mark('pgmq.parked_mark_$queue')
                        AND (condition IS NULL OR q.message @> condition)
                        AND pgmq._may('UPDATE', queue_name$policy, 'pgmq.q_$queue')
                    ORDER BY q.vt
                    LIMIT greatest(200, 2 * breadth)
                )
                UNION ALL
                (
                    SELECT q.msg_id
                    FROM pgmq.q_$queue AS q
                    WHERE live$partitions(q) AND q.vt <= q.enqueued_at
                        AND q.msg_id >= pgmq._id_mark('pgmq.ready_mark_$queue')
                        AND (condition IS NULL OR q.message @> condition)
                    ORDER BY q.msg_id
                    LIMIT breadth
                )
            ) AS u
            ORDER BY u.msg_id
            LIMIT breadth
        ) AS msg_ids
        OFFSET 0        -- once, for both
    ) AS l;
    IF looked_at > 0 THEN
        locked := ARRAY(
            SELECT q.msg_id
            FROM pgmq.q_$queue AS q
            WHERE lookup$partitions(q) AND q.msg_id = ANY (locked)
                AND (
                    pg_catalog.cardinality(held) = 0
                    OR (q.msg_id IN (SELECT h.id FROM pg_catalog.unnest(held) AS h (id))) IS NOT TRUE
                )
                AND (q.vt <= as_of OR q.vt <= q.enqueued_at)
                AND (condition IS NULL OR q.message @> condition)   -- amend() may have come first
            ORDER BY q.msg_id
            LIMIT quantity
            FOR UPDATE SKIP LOCKED
        );
    END IF;
END
$$;
