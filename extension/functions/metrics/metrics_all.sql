CREATE OR REPLACE FUNCTION pgmq.metrics_all()
RETURNS SETOF pgmq.metrics_result
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT x.*
    FROM pgmq.meta AS m
    CROSS JOIN pgmq.metrics(m.queue_name) AS x
    WHERE has_column_privilege(
            to_regclass(format('pgmq.%I', pgmq.format_table_name(m.queue_name, 'q'))),
            'vt', 'SELECT'
        )
        AND NOT (m.is_unlogged AND pg_is_in_recovery())
$$;
COMMENT ON FUNCTION pgmq.metrics_all() IS 'The metrics of every queue; one whose table was dropped by hand, or whose metrics the caller may not see, is left out, and on a standby, unlogged ones, which it does not have.';
