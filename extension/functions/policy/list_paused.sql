CREATE OR REPLACE FUNCTION pgmq.list_paused()
RETURNS TABLE (queue_name text, reads boolean, sends boolean, paused_at timestamptz)
LANGUAGE sql STABLE ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.queue_name, p.reads, p.sends, p.paused_at FROM pgmq.paused AS p ORDER BY p.queue_name
$$;
COMMENT ON FUNCTION pgmq.list_paused() IS
'List the queues that are paused, what is paused of each, and since when.';
