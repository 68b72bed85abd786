CREATE OR REPLACE FUNCTION pgmq.recompile(queue_name text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT pgmq._is_listed(queue_name) THEN
        PERFORM pgmq._compiled('read', queue_name);     -- which says so
    END IF;
    IF NOT EXISTS (SELECT FROM pgmq._differences(queue_name)) THEN
        RETURN false;
    END IF;
    PERFORM pgmq._compile(queue_name);
    RETURN true;
END
$$;
COMMENT ON FUNCTION pgmq.recompile(text) IS
'Give a queue the functions of the installed templates; return whether it lacked any.

What recompile_all() does for all queues, for those who have thousands: call it in a transaction for each. For the owner of the queue, and for superusers.';
