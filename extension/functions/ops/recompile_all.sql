CREATE OR REPLACE FUNCTION pgmq.recompile_all()
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_queue_name text;
    v_others text[] := '{}'::text[];
    v_count bigint := 0;
BEGIN
    FOR v_queue_name IN
        SELECT m.queue_name
        FROM pgmq.meta AS m
        WHERE to_regclass(format('pgmq.%I', pgmq.format_table_name(m.queue_name, 'q'))) IS NOT NULL
        ORDER BY m.queue_name
    LOOP
        IF NOT pg_has_role((
            SELECT c.relowner FROM pg_class AS c
            WHERE c.oid = format('pgmq.%I', pgmq.format_table_name(v_queue_name, 'q'))::regclass
        ), 'USAGE')
        THEN
            v_others := v_others || v_queue_name;
            CONTINUE;
        END IF;
        -- Also by a superuser: it runs nothing of the owner's.
        PERFORM pgmq._compile(v_queue_name);
        v_count := v_count + 1;
    END LOOP;
    PERFORM pgmq._warn_of_others('recompile_all()', v_others, 'Their owners, or a superuser, call it.');
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION pgmq.recompile_all() IS
'Create the functions of every queue anew from the installed templates, and return their number. Sessions that use the queues go on. For their owners, and for superusers: after a partial restore, and part of every upgrade. Queues of others are left out, with a warning that names them.';
