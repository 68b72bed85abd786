CREATE OR REPLACE FUNCTION pgmq._doctor_upgrade()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT
        'info', m.queue_name::text,
        'what version 2.0.0 compiled is still there, unused, for calls that began before the upgrade',
        format('SELECT pgmq.maintain(%L)', m.queue_name)
    FROM pgmq.meta AS m
    WHERE pgmq._type_of_2_0_0(m.queue_name) IS NOT NULL
    ORDER BY m.queue_name
$$;
COMMENT ON FUNCTION pgmq._doctor_upgrade() IS
'Queues that were in use during an upgrade from 2.0.0, which maintain() finishes.';
