-- Bring the tables of queues that an older layout made (upstream 1.13, an earlier 2.x) to today's.
-- Each is locked against writers while its two partial indexes are built.
SELECT pgmq._lay_out(m.queue_name)
FROM pgmq.meta AS m
WHERE to_regclass(format('pgmq.%I', pgmq.format_table_name(m.queue_name, 'q'))) IS NOT null;

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

-- What upstream's extension has and this version has no own one of (partitions) goes on working,
-- but CREATE EXTENSION would not make it: it must leave the extension for a dump to carry it. Those
-- are the functions that the script has not replaced.
DO $$
DECLARE
    v_member record;
BEGIN
    IF NOT pgmq._in_extension_script() THEN
        RETURN;
    END IF;
    FOR v_member IN
        SELECT m.type, m.identity
        FROM pgmq._members() AS m
        WHERE m.function_xmin::text <> pg_current_xact_id()::xid::text
    LOOP
        EXECUTE format('ALTER EXTENSION pgmq DROP %s %s', v_member.type, v_member.identity);
    END LOOP;
END
$$;
