CREATE OR REPLACE FUNCTION pgmq._doctor_streams()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = error     -- list_groups() warns of streams that it leaves out
AS $$
DECLARE
    v_patience CONSTANT interval := coalesce(
        nullif(current_setting('pgmq.doctor_patience', true), '')::interval, '5 min'
    );
BEGIN
    RETURN QUERY
        WITH groups AS MATERIALIZED (SELECT g.* FROM pgmq.list_groups() AS g)
        SELECT
            'warning', s.queue_name, concat('what was sent last cannot be read yet: ', w.holder), w.fix
        FROM (SELECT DISTINCT g.queue_name FROM groups AS g WHERE g.waits_for IS NOT NULL) AS s
        CROSS JOIN LATERAL pgmq._open_writer(s.queue_name) AS w
        WHERE (w.since > clock_timestamp() - v_patience) IS NOT true
        UNION ALL
        SELECT
            'warning', g.queue_name,
            format(
                'group "%s" keeps %s that retention would have dropped, since %s',
                g.group_name, pg_size_pretty(g.held_bytes),
                to_char(g.held_since, 'YYYY-MM-DD HH24:MI:SS TZ')
            ),
            format(
                'Read on; or SELECT pgmq.alter_group(%L, %L, keep_unread => false)',
                g.queue_name, g.group_name
            )
        FROM groups AS g
        WHERE g.held_bytes > 0
        UNION ALL
        SELECT
            'warning', g.queue_name,
            format(
                'group "%s" fails again and again in %s of its %s lanes: %s',
                g.group_name, g.failing_lanes, g.lanes, g.error
            ),
            format(
                'Mend its consumers; or SELECT pgmq.alter_group(%L, %L, 5, %L)',
                g.queue_name, g.group_name, 'dead letters'
            )
        FROM groups AS g
        WHERE g.max_deliveries IS NULL AND (
            SELECT max(l.failures) >= 5 FROM pgmq._lanes(g.queue_name, g.group_name) AS l
        );
END
$$;
COMMENT ON FUNCTION pgmq._doctor_streams() IS
'What holds the groups of streams back, and what they hold back.

Open transactions that have sent are named after pgmq.doctor_patience (5 min unless set).';
