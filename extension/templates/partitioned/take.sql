--# for partitioned
-- Remove messages and return them, in msg_id order.
CREATE OR REPLACE FUNCTION pgmq._take_$queue(msg_ids bigint[], alike anyelement)
RETURNS SETOF anyelement
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_$queue');
    END IF;
    RETURN QUERY
        WITH removed AS (
            DELETE FROM pgmq.q_$queue AS m
            WHERE lookup$partitions(m) AND m.msg_id = ANY (msg_ids)
                AND pgmq._may('DELETE', queue_name$policy, 'pgmq.q_$queue')
            RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers
        )
        SELECT r.* FROM removed AS r ORDER BY r.msg_id;
    IF pgmq._chance(pg_catalog.cardinality(msg_ids), 32) THEN
        PERFORM pgmq._tend_$queue();
    END IF;
END
$$;
