CREATE OR REPLACE FUNCTION pgmq._doctor_bindings()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT
        'warning', b.queue_name,
        concat('a queue that does not exist is bound to ', b.bound_to), b.fix
    FROM (
        SELECT
            e.queue_name, format('exchange "%s"', e.exchange_name) AS bound_to,
            format(
                'SELECT pgmq.unbind(%L, %L, %L, %L)',
                e.exchange_name, e.queue_name, e.pattern, e.kind
            ) AS fix
        FROM pgmq.binding AS e
        UNION ALL
        SELECT
            t.queue_name, format('topic "%s"', t.pattern),
            format('SELECT pgmq.unbind_topic(%L, %L)', t.pattern, t.queue_name)
        FROM pgmq.topic_bindings AS t
    ) AS b
    WHERE b.queue_name IS NOT NULL AND NOT EXISTS (
        SELECT FROM pgmq.meta AS m WHERE m.queue_name = b.queue_name
    )
    ORDER BY b.queue_name, b.fix
$$;
COMMENT ON FUNCTION pgmq._doctor_bindings() IS
'Bindings of queues that are gone: bound and dropped at the same time.

Whichever of the two came second, under REPEATABLE READ, did not see what the first had done.';
