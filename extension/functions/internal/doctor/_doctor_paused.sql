CREATE OR REPLACE FUNCTION pgmq._doctor_paused()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT
        'info', p.queue_name,
        format(
            '%s paused since %s', concat_ws(
                ' and ', CASE WHEN p.reads THEN 'reads' END, CASE WHEN p.sends THEN 'sends' END
            ), to_char(p.paused_at, 'YYYY-MM-DD HH24:MI:SS TZ')
        ),
        format('SELECT pgmq.resume(%L)', p.queue_name)
    FROM pgmq.paused AS p
$$;
COMMENT ON FUNCTION pgmq._doctor_paused() IS 'Queues that are paused.';
