CREATE OR REPLACE FUNCTION pgmq.list_notify_insert_throttles()
RETURNS TABLE (
    queue_name text,
    throttle_interval_ms integer,
    last_notified_at timestamptz
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    FOR queue_name, throttle_interval_ms IN
        SELECT m.queue_name, t.throttle_interval_ms
        FROM pgmq.meta AS m
        CROSS JOIN LATERAL pgmq._insert_throttle(
            pgmq._queue_table(m.queue_name)
        ) AS t (throttle_interval_ms)
        WHERE t.throttle_interval_ms IS NOT NULL
        ORDER BY m.queue_name
    LOOP
        BEGIN
            last_notified_at := coalesce(
                pgmq._announced_at(nullif(pgmq._sequence_value(
                    pgmq._relation('notify_at', queue_name)
                ), 0)),
                to_timestamp(0)
            );
            RETURN NEXT;
            -- The rollback releases the lock, as in list_groups().
            RAISE EXCEPTION 'looked' USING ERRCODE = 'PGMQ0';
        EXCEPTION WHEN SQLSTATE 'PGMQ0' OR undefined_table THEN
            NULL;       -- it may have just been dropped
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq.list_notify_insert_throttles() IS
'List the queues that enable_notify_insert was called for, and when each announced last.

1970 means never. An announcement whose transaction was rolled back counts, too. Without a throttle
the time is not known.';
