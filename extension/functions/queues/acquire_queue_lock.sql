CREATE OR REPLACE FUNCTION pgmq.acquire_queue_lock(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext(format('pgmq.queue_%s', queue_name)));
END
$$;
COMMENT ON FUNCTION pgmq.acquire_queue_lock(text) IS
'Wait for the lock of a queue''s name, and hold it until the transaction ends.

Creating, compiling and dropping a queue take this lock.';
