CREATE OR REPLACE PROCEDURE pgmq.recompile_queues()
LANGUAGE plpgsql
AS $$
DECLARE
    v_queue_name text;
BEGIN
    -- Without a search_path of its own, or it could not commit.
    FOR v_queue_name IN
        SELECT DISTINCT d.queue::text
        FROM pgmq._differences() AS d
        INNER JOIN pg_catalog.pg_class AS c ON c.oid = to_regclass(
            pg_catalog.format('pgmq.%I', pgmq.format_table_name(d.queue::text, 'q'::text))
        )::oid
        WHERE pg_has_role(c.relowner, 'USAGE'::text)
        ORDER BY 1
    LOOP
        PERFORM pgmq._compile(v_queue_name);
        COMMIT;
    END LOOP;
END
$$;
COMMENT ON PROCEDURE pgmq.recompile_queues() IS -- noqa: LT01
'As recompile_all, with a commit after each queue, for those who have thousands of queues.

No transaction holds more locks than the server has room for. To be called outside a transaction.';
