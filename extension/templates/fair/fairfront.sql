--# for fair
-- Return the visible messages with the smallest msg_id, due and ready ones merged, as choose does
-- them, and the group of each. Messages that others hold, or that were tried before, are left out.
-- Nothing is locked.
CREATE OR REPLACE FUNCTION pgmq._fairfront_$queue(
    as_of timestamptz,
    breadth bigint,
    condition jsonb,
    tried bigint[],
    OUT msg_ids bigint[],
    OUT owners bigint[]
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    --# if partitioned
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_$queue');
    END IF;
    --# end
    SELECT
        coalesce(array_agg(f.msg_id ORDER BY f.msg_id), '{}'),
        coalesce(array_agg(f.owner ORDER BY f.msg_id), '{}')
    INTO msg_ids, owners
    FROM (
        SELECT u.msg_id, u.owner
        FROM (
            (
                SELECT q.msg_id, pgmq._group(q.headers) AS owner
                FROM pgmq.q_$queue AS q
                WHERE live$partitions(q) AND q.vt > q.enqueued_at AND q.vt <= as_of
                    AND pgmq._may('UPDATE', queue_name$policy, 'pgmq.q_$queue')
                    AND q.vt >= (SELECT pgmq._parked_mark('pgmq.parked_mark_$queue'))
                    AND (condition IS NULL OR q.message @> condition)
                    AND (q.msg_id IN (SELECT t FROM unnest(tried) AS t)) IS NOT TRUE
                    AND (q.xmax = '0' OR NOT pgmq._is_held(q.xmax, q.xmin))
                ORDER BY q.vt
                LIMIT greatest(200, 2 * breadth)
            )
            UNION ALL
            (
                SELECT q.msg_id, pgmq._group(q.headers)
                FROM pgmq.q_$queue AS q
                WHERE live$partitions(q) AND q.vt <= q.enqueued_at
                    AND q.msg_id >= (SELECT pgmq._id_mark('pgmq.ready_mark_$queue'))
                    AND (condition IS NULL OR q.message @> condition)
                    AND (q.msg_id IN (SELECT t FROM unnest(tried) AS t)) IS NOT TRUE
                    AND (q.xmax = '0' OR NOT pgmq._is_held(q.xmax, q.xmin))
                ORDER BY q.msg_id
                LIMIT breadth
            )
        ) AS u
        ORDER BY u.msg_id
        LIMIT breadth
    ) AS f;
END
$$;
