CREATE OR REPLACE FUNCTION pgmq.resume(queue_name text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN pgmq._set_pause(queue_name, false, false);
END
$$;
COMMENT ON FUNCTION pgmq.resume(text) IS
'End the pause of a queue, and wake the consumers that wait for it; false if it was not paused.

Consumers that await or listen for inserts are notified, and push channels get messages.
Only the owner of the queue may call this.';
