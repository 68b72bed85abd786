CREATE OR REPLACE FUNCTION pgmq.unpin(queue_name text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgmq.format_table_name(queue_name, 'q');
    IF NOT pgmq._is_pinned(queue_name) THEN
        RETURN false;
    END IF;
    PERFORM pgmq._lock_pinned(queue_name);
    DELETE FROM pgmq.pinned AS p WHERE lower(p.queue_name) = lower(unpin.queue_name);
    PERFORM pgmq._write_pinned();
    RETURN true;
END
$$;
COMMENT ON FUNCTION pgmq.unpin(text) IS
'Undo pin; false when the queue was not pinned.

drop_queue does this, too. Only the owner of pgmq may unpin: nobody else can drop a pinned queue.';
