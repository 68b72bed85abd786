CREATE OR REPLACE FUNCTION pgmq.recompile_all()
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_queue_name text;
    v_count bigint := 0;
BEGIN
    FOR v_queue_name IN
        SELECT m.queue_name
        FROM pgmq.meta AS m
        WHERE to_regclass(format('pgmq.%I', pgmq.format_table_name(m.queue_name, 'q'))) IS NOT NULL
        ORDER BY m.queue_name
    LOOP
        PERFORM pgmq._compile(v_queue_name);
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION pgmq.recompile_all() IS
'Create the functions of every queue anew from the installed templates and return the number of queues; sessions that use them go on. For their owners: after a partial restore, and part of every upgrade.';
