-- Bring the tables of queues that an older layout made (upstream 1.13, an earlier 2.x) to today's.
-- Each is locked against writers while its two partial indexes are built.
SELECT pgmq._lay_out(m.queue_name)
FROM pgmq.meta AS m
WHERE to_regclass(format('pgmq.%I', pgmq.format_table_name(m.queue_name, 'q'))) IS NOT null;

-- Partitioned queues and archives, whether pg_partman keeps them still or was left without.
SELECT pgmq._adopt_partitions(m.queue_name, a.is_archive)
FROM pgmq.meta AS m
CROSS JOIN (VALUES (false), (true)) AS a (is_archive);

-- Upstream keeps the settings of notifications in a table, and announces from a function that all
-- queues share.
DO $$
DECLARE
    v_table regclass;
    v_setting record;
BEGIN
    IF to_regclass('pgmq.notify_insert_throttle') IS NULL THEN
        RETURN;
    END IF;
    -- Also where a crash has emptied the settings.
    FOR v_table IN
        SELECT t.tgrelid
        FROM pg_trigger AS t
        WHERE t.tgfoid = 'pgmq.notify_queue_listeners'::regproc AND t.tgparentid = 0
    LOOP
        EXECUTE format('DROP TRIGGER trigger_notify_queue_insert_listeners ON %s', v_table);
    END LOOP;
    FOR v_setting IN
        SELECT n.queue_name, n.throttle_interval_ms
        FROM pgmq.notify_insert_throttle AS n
        WHERE to_regclass(format('pgmq.%I', pgmq.format_table_name(n.queue_name, 'q'))) IS NOT NULL
    LOOP
        PERFORM pgmq._compile(v_setting.queue_name);
        PERFORM pgmq.enable_notify_insert(v_setting.queue_name, v_setting.throttle_interval_ms);
    END LOOP;
    DROP TABLE pgmq.notify_insert_throttle;
    DROP FUNCTION pgmq.notify_queue_listeners();
END
$$;

-- Upstream's helpers, which nothing calls any more.
DO $$
DECLARE
    v_function regprocedure;
BEGIN
    FOR v_function IN
        SELECT p.oid
        FROM pg_proc AS p
        WHERE p.pronamespace = 'pgmq'::regnamespace
            AND p.proname = ANY (ARRAY[
                '_belongs_to_pgmq', '_create_fifo_index_if_not_exists',
                '_ensure_pg_partman_installed', '_extension_exists', '_get_partition_col',
                '_get_pg_partman_major_version', '_get_pg_partman_schema', '_send_batch'
            ])
    LOOP
        EXECUTE format('DROP FUNCTION %s', v_function);
    END LOOP;
END
$$;
