CREATE OR REPLACE FUNCTION pgmq.metrics_all()
RETURNS SETOF pgmq.metrics_result
LANGUAGE sql VOLATILE
AS $$
    SELECT x.*
    FROM pgmq.meta AS m
    CROSS JOIN pgmq.metrics(m.queue_name) AS x
    WHERE to_regclass(format('pgmq.%I', pgmq.format_table_name(m.queue_name, 'q'))) IS NOT NULL
$$;
COMMENT ON FUNCTION pgmq.metrics_all() IS 'The metrics of every queue; one whose table was dropped by hand is left out.';
