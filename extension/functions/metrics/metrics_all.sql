CREATE OR REPLACE FUNCTION pgmq.metrics_all()
RETURNS SETOF pgmq.metrics_result
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_callers CONSTANT oid[] := pgmq._powerful_callers();
    v_queue record;
    v_others text[] := '{}'::text[];
BEGIN
    FOR v_queue IN
        SELECT
            m.queue_name, m.is_safe,
            pgmq._metrics(
                m.queue_name, m.total, m.visible, m.oldest, m.newest, m.last_id,
                m.default_partition_length
            ) AS metrics
        FROM pgmq._batches(null) AS t
        CROSS JOIN LATERAL pgmq._measure(t.queue_names, v_callers, false, false) AS m
        ORDER BY m.queue_name
    LOOP
        IF v_queue.is_safe THEN
            RETURN NEXT v_queue.metrics;
        ELSE
            v_others := v_others || v_queue.queue_name;
        END IF;
    END LOOP;
    PERFORM pgmq._warn_of_others(
        'metrics_all()', v_others, 'Call it as a member of pg_monitor without more rights.'
    );
END
$$;
COMMENT ON FUNCTION pgmq.metrics_all() IS
'Return the metrics of every queue whose metrics the caller may see.

Members of pg_monitor see all queues. A queue whose table was dropped by hand is left out, and
with a warning one that is damaged otherwise. A standby leaves out unlogged queues, which it does
not have.

For a superuser, or a role with powers like that, queues whose owner has no such powers are left
out, with a warning: looking at them could run code of that owner.';

CREATE OR REPLACE FUNCTION pgmq._batches(wanted text)
RETURNS TABLE (queue_names text[])
LANGUAGE sql STABLE
AS $$
    SELECT pg_catalog.array_agg(m.queue_name)
    FROM (
        SELECT
            m.queue_name::text,
            pg_catalog.row_number() OVER (ORDER BY m.queue_name) AS number
        FROM pgmq.meta AS m
        WHERE wanted IS NULL OR lower(m.queue_name::text) = lower(wanted)
    ) AS m
    GROUP BY (m.number - 1) / 20
    ORDER BY pg_catalog.random()
$$;
COMMENT ON FUNCTION pgmq._batches(text) IS
'The queues in groups of twenty, for _measure(); or one queue (null: all).

Who owns queues is asked shortly before they are touched. The order is another each time. In one
order a server that keeps fewer files open than there are would open each of them anew.';
