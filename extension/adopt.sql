-- Bring the tables of queues that an older layout made (upstream 1.13, an earlier 2.x) to today's.
-- Each is locked against writers while its two partial indexes are built.
SELECT pgmq._lay_out(m.queue_name)
FROM pgmq.meta AS m
WHERE to_regclass(format('pgmq.%I', pgmq.format_table_name(m.queue_name, 'q'))) IS NOT null;

-- What upstream's extension has and this version has no own one of (FIFO groups,
-- notifications, partitions) goes on working, but CREATE EXTENSION would not make it: it must leave
-- the extension for a dump to carry it. Those are the functions that the script has not replaced,
-- and the tables that they use.
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
            OR (m.type = 'table' AND m.identity = 'pgmq.notify_insert_throttle')
    LOOP
        EXECUTE format('ALTER EXTENSION pgmq DROP %s %s', v_member.type, v_member.identity);
    END LOOP;
END
$$;
