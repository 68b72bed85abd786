CREATE OR REPLACE FUNCTION pgmq.list_notify_insert_throttles()
RETURNS TABLE (
    queue_name text,
    throttle_interval_ms integer,
    last_notified_at timestamptz
)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT
        m.queue_name,
        t.throttle_interval_ms,
        coalesce(
            pgmq._announced_at(nullif(pg_sequence_last_value(
                pgmq._relation('notify_at', m.queue_name)
            ), 0)),
            to_timestamp(0)
        )
    FROM pgmq.meta AS m
    CROSS JOIN LATERAL pgmq._insert_throttle(
        pgmq._queue_table(m.queue_name)
    ) AS t (throttle_interval_ms)
    WHERE t.throttle_interval_ms IS NOT NULL
    ORDER BY m.queue_name
$$;
COMMENT ON FUNCTION pgmq.list_notify_insert_throttles() IS
'List the queues that enable_notify_insert was called for, and when each announced last.

1970 means never. An announcement whose transaction was rolled back counts, too. Without a throttle
the time is not known.';
