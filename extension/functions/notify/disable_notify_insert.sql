CREATE OR REPLACE FUNCTION pgmq.disable_notify_insert(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgmq._drop_trigger('trigger_notify_queue_insert_listeners', queue_name);
END
$$;
COMMENT ON FUNCTION pgmq.disable_notify_insert(text) IS
'Undo enable_notify_insert, if it was called.

Waits for the transactions that use the queue.';
