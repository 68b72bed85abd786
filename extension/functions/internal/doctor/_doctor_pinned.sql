CREATE OR REPLACE FUNCTION pgmq._doctor_pinned()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
        SELECT
            'info', p.queue_name, 'pinned, but not called by name (after a restore)',
            format('SELECT pgmq.pin(%L)', p.queue_name)
        FROM pgmq.pinned AS p
        WHERE NOT pgmq._pinned(p.queue_name);
END
$$;
COMMENT ON FUNCTION pgmq._doctor_pinned() IS
'Queues that pin() was called for, which _pinned() does not know.';
