CREATE OR REPLACE FUNCTION pgmq._doctor_streams()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_callers CONSTANT oid[] := pgmq._powerful_callers();
    v_stream record;
BEGIN
    FOR v_stream IN
        SELECT
            m.queue_name::text AS name,
            q.id AS queue,
            pgmq._relation('lane', m.queue_name) AS lanes
        FROM pgmq.meta AS m
        CROSS JOIN pgmq._queue_table(m.queue_name) AS q (id)
        WHERE m.is_partitioned AND pgmq._is_stream(q.id)
        ORDER BY m.queue_name
    LOOP
        CONTINUE WHEN has_table_privilege(v_stream.lanes, 'SELECT') IS NOT true
            OR NOT pgmq._is_safe_to_touch(v_stream.queue, v_callers)
            OR NOT pgmq._is_safe_to_touch(v_stream.lanes, v_callers);
        BEGIN
            RETURN QUERY SELECT * FROM pgmq._stream_findings(v_stream.name, v_stream.lanes);
            -- Rolled back, it gives back its locks (see _doctor_queues).
            RAISE EXCEPTION 'looked' USING ERRCODE = 'PGMQ0';
        EXCEPTION WHEN SQLSTATE 'PGMQ0' THEN
            NULL;
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._doctor_streams() IS
'Groups that keep what retention would drop, fail again and again, or have lost their positions.

Also transactions that have sent, and hold back what is behind them for longer than
pgmq.doctor_patience (5 min unless set).';

CREATE OR REPLACE FUNCTION pgmq._stream_findings(stream_name text, lane_table regclass)
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH lanes AS MATERIALIZED (
        SELECT l.* FROM pgmq._lanes(stream_name) AS l
    ),
    groups AS MATERIALIZED (
        SELECT
            g.*, count(l.lane) AS seen, min(l.done) AS committed, max(l.done) AS furthest,
            pgmq._current_key(stream_name, 'msg_id') AS last_id
        FROM pgmq.stream_group AS g
        LEFT JOIN lanes AS l ON g.group_name = l.group_name
        WHERE g.queue_name = stream_name
        GROUP BY g.queue_name, g.group_name
    )
    SELECT
        'critical', g.queue_name,
        format('group "%s" has %s of its %s lanes', g.group_name, g.seen, g.lanes),
        -- They read all that there is, once more perhaps.
        format('SELECT pgmq._add_lanes(%L, %L)', g.queue_name, g.group_name)
    FROM groups AS g
    -- A role that reads as one group does not see the lanes of others.
    WHERE g.seen < g.lanes
        AND (NOT row_security_active(lane_table) OR pg_has_role('pg_monitor', 'USAGE'))
    UNION ALL
    SELECT
        'critical', g.queue_name,
        format(
            'group "%s" has read up to msg_id %s, but the last message has msg_id %s:'
            ' the msg_ids have begun again, and it would miss what comes next',
            g.group_name, g.furthest, g.last_id
        ),
        format(
            'SELECT setval(%L, %s); and if messages were sent since, SELECT pgmq.seek(%L, %L, ...)',
            pg_get_serial_sequence(pgmq._queue_table(stream_name)::text, 'msg_id'), g.furthest,
            g.queue_name, g.group_name
        )
    FROM groups AS g
    WHERE g.furthest > g.last_id
    UNION ALL
    SELECT
        'warning', g.queue_name,
        format(
            'group "%s" keeps %s that retention would have dropped, since %s',
            g.group_name, pg_size_pretty(h.bytes), to_char(h.since, 'YYYY-MM-DD HH24:MI:SS TZ')
        ),
        format(
            'Read on; or SELECT pgmq.alter_group(%L, %L, keep_unread => false); see seek() and'
            ' drop_group(), too.',
            g.queue_name, g.group_name
        )
    FROM groups AS g
    CROSS JOIN LATERAL pgmq._held_back(stream_name, g.committed) AS h
    WHERE g.keep_unread AND h.bytes > 0
    UNION ALL
    SELECT
        'warning', stream_name,
        concat('what was sent last cannot be read yet: ', w.holder),
        w.fix
    FROM pgmq._open_writer(pgmq._queue_table(stream_name), '1 second') AS w
    WHERE w.holder IS NOT NULL
        AND EXISTS (SELECT FROM groups AS g WHERE g.committed < g.last_id)
        AND (w.since > clock_timestamp() - pgmq._patience()) IS NOT true
    UNION ALL
    SELECT
        'warning', g.queue_name,
        format(
            'group "%s" fails again and again in %s of its %s lanes: %s',
            g.group_name, f.lanes, g.lanes, f.error
        ),
        format(
            'Mend its consumers; or SELECT pgmq.alter_group(%L, %L, 5, %L)',
            g.queue_name, g.group_name, coalesce(g.dead_letter_queue, 'dead letters')
        )
    FROM groups AS g
    CROSS JOIN LATERAL (
        SELECT count(*) AS lanes, (array_agg(l.error ORDER BY l.failures DESC))[1] AS error
        FROM lanes AS l
        WHERE l.group_name = g.group_name AND l.failures >= 3
    ) AS f
    -- With max_deliveries, what fails becomes a dead letter.
    WHERE g.max_deliveries IS NULL AND f.lanes > 0
$$;
COMMENT ON FUNCTION pgmq._stream_findings(text, regclass) IS
'What doctor() finds about one stream.';
