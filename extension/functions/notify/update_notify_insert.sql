CREATE OR REPLACE FUNCTION pgmq.update_notify_insert(queue_name text, throttle_interval_ms integer)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF throttle_interval_ms < 0 THEN
        RAISE EXCEPTION 'throttle_interval_ms must be non-negative, got: %', throttle_interval_ms
            USING HINT = 'Give milliseconds; 0 is no throttle.';
    END IF;
    IF NOT EXISTS (
        SELECT FROM pgmq.meta AS m WHERE lower(m.queue_name) = lower(update_notify_insert.queue_name)
    ) THEN
        RAISE EXCEPTION 'Queue "%" does not exist. Create the queue first using pgmq.create()',
            queue_name;
    END IF;
    IF pgmq._insert_throttle(pgmq._queue_table(queue_name)) IS NULL THEN
        RAISE EXCEPTION 'Queue "%" does not have notify_insert enabled. Enable it first using pgmq.enable_notify_insert()', queue_name;
    END IF;
    PERFORM pgmq.enable_notify_insert(queue_name, throttle_interval_ms);
END
$$;
COMMENT ON FUNCTION pgmq.update_notify_insert(text, integer) IS
'Change the interval of a queue that enable_notify_insert was called for.

Raises an error for any other queue.';
