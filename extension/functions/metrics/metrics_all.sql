CREATE OR REPLACE FUNCTION pgmq.metrics_all()
RETURNS SETOF pgmq.metrics_result
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_queue record;
    v_others text[] := '{}'::text[];
BEGIN
    FOR v_queue IN
        SELECT m.queue_name AS name, q.id
        FROM pgmq.meta AS m
        CROSS JOIN to_regclass(format('pgmq.%I', pgmq.format_table_name(m.queue_name, 'q'))) AS q (id)
        WHERE has_column_privilege(q.id, 'vt', 'SELECT')
            AND NOT (m.is_unlogged AND pg_is_in_recovery())
        ORDER BY m.queue_name
    LOOP
        IF pgmq._is_safe_to_touch(v_queue.id) THEN
            RETURN NEXT pgmq.metrics(v_queue.name);
        ELSE
            v_others := v_others || v_queue.name::text;
        END IF;
    END LOOP;
    PERFORM pgmq._warn_of_others(
        'metrics_all()', v_others, 'Call it as a member of pg_monitor without more rights.'
    );
END
$$;
COMMENT ON FUNCTION pgmq.metrics_all() IS
'The metrics of every queue that the caller may see them of. One whose table was dropped by hand is left out and, on a standby, unlogged ones, which it does not have. For a superuser, or a role with powers like that, so are queues whose owner is none, with a warning: to look at them could run what the owner has put there. Members of pg_monitor see all.';
