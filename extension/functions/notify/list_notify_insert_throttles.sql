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
        -- The only argument, as it is stored: with a zero byte behind it.
        encode(substring(t.tgargs FOR octet_length(t.tgargs) - 1), 'escape')::integer,
        coalesce(
            pgmq._announced_at(nullif(pg_sequence_last_value(
                to_regclass(format('pgmq.%I', 'notify_at_' || pgmq._suffix(m.queue_name)))
            ), 0)),
            to_timestamp(0)
        )
    FROM pgmq.meta AS m
    INNER JOIN pg_trigger AS t
        ON t.tgrelid = to_regclass(
            format('pgmq.%I', pgmq.format_table_name(m.queue_name, 'q'))
        )
    WHERE t.tgname = 'trigger_notify_queue_insert_listeners'
    ORDER BY m.queue_name
$$;
COMMENT ON FUNCTION pgmq.list_notify_insert_throttles() IS
'The queues that enable_notify_insert was called for, their intervals, and when each announced last (1970 for never; an announcement whose transaction was rolled back counts too; not known without a throttle).';
