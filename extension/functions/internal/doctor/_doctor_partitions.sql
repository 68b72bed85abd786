CREATE OR REPLACE FUNCTION pgmq._doctor_partitions()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH tables AS (
        SELECT p.*, t.relation, pgmq._default_partition(t.relation) AS default_partition
        FROM pgmq.partitioning AS p
        CROSS JOIN pgmq._queue_table(p.queue_name, p.is_archive) AS t (relation)
    )
    SELECT
        'warning', t.queue_name, format('%s has %s messages', t.default_partition, r.rows),
        CASE
            WHEN m.schema_name IS NULL THEN format('SELECT pgmq.maintain(%L)', t.queue_name)
            ELSE format(
                'CALL %1$I.partition_data_proc(%2$L); and schedule %1$I.run_maintenance()',
                m.schema_name, format('pgmq.%s', c.relname)
            )
        END
    FROM tables AS t
    INNER JOIN pg_class AS c ON t.relation = c.oid
    -- For those who may not count the rows, statistics must do.
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN has_column_privilege(t.relation, 'msg_id', 'SELECT')
                AND pgmq._is_safe_to_touch(t.relation)
                THEN pgmq._default_rows(t.relation, 10000)
            ELSE pg_stat_get_live_tuples(t.default_partition)
        END AS rows
    ) AS r
    CROSS JOIN pgmq._partman() AS m
    WHERE t.default_partition IS NOT NULL AND r.rows > 0
    UNION ALL
    SELECT
        'warning', t.queue_name,
        format(
            'retention has dropped %s messages, %s of them never read, the last %s',
            t.dropped_messages, t.dropped_unread,
            to_char(t.dropped_at, 'YYYY-MM-DD HH24:MI:SS TZ')
        ),
        'Read faster, or keep more: retention_interval in pgmq.partitioning'
    FROM tables AS t
    WHERE t.dropped_unread > 0 AND t.dropped_at > now() - interval '1 day'
    UNION ALL
    SELECT
        'warning', t.queue_name,
        concat(
            format(
                '%s %s, for its transactions do not end: %s has used it', t.relation, b.finding,
                h.holder
            ),
            to_char(h.since, '" since "YYYY-MM-DD HH24:MI:SS TZ')
        ),
        h.fix
    FROM tables AS t
    CROSS JOIN LATERAL (
        SELECT
            pgmq._partition_column(t.relation::text) AS name,
            pgmq._is_stream(t.relation) AS is_stream
    ) AS k
    CROSS JOIN LATERAL (SELECT pgmq._current_key(t.queue_name, k.name) AS key) AS n
    CROSS JOIN LATERAL (
        SELECT 'has no partition for what comes next' AS finding
        WHERE NOT EXISTS (
            SELECT FROM pgmq._partitions(t.relation) AS p WHERE p.first_key > n.key
        )
        UNION ALL
        -- Partitions that should have been dropped one whole partition ago.
        SELECT 'keeps more than retention says'
        WHERE NOT (t.is_archive AND k.name = 'msg_id') AND EXISTS (
            SELECT FROM pgmq._partitions(t.relation) AS p
            WHERE 2 * p.end_key::numeric - p.first_key <= CASE
                WHEN k.is_stream THEN null      -- see below
                WHEN k.name = 'msg_id' THEN n.key - t.retention_interval::bigint
                ELSE pgmq._microseconds(clock_timestamp() - t.retention_interval::interval)
            END
        )
        UNION ALL
        SELECT 'keeps more than retention says'
        WHERE k.is_stream AND EXISTS (
            SELECT FROM pgmq._ended_segments(t.queue_name) AS s
            WHERE s.end_id IS NOT NULL AND s.old_since < clock_timestamp() - interval '1 minute'
                AND NOT s.is_unread
        )
    ) AS b
    -- Upkeep that is part of other calls waits no longer than this.
    CROSS JOIN LATERAL (
        SELECT
            CASE
                WHEN l.pid IS NULL THEN 'a prepared transaction'
                ELSE format('process %s (user "%s", %s)', l.pid, a.usename, a.state)
            END AS holder,
            a.xact_start AS since,
            CASE
                WHEN l.pid IS NULL THEN 'End it: see pg_prepared_xacts.'
                ELSE format('SELECT pg_terminate_backend(%s)', l.pid)
            END AS fix
        FROM pg_locks AS l
        LEFT JOIN pg_stat_activity AS a ON l.pid = a.pid
        WHERE l.locktype = 'relation' AND l.relation = t.relation AND l.granted
            AND l.database = (
                SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()
            )
            AND l.pid IS DISTINCT FROM pg_backend_pid()
            AND (a.xact_start > clock_timestamp() - interval '50 milliseconds') IS NOT TRUE
        ORDER BY a.xact_start NULLS FIRST
        LIMIT 1
    ) AS h
    CROSS JOIN pgmq._partman() AS m
    WHERE k.name IS NOT NULL AND m.schema_name IS NULL
$$;
COMMENT ON FUNCTION pgmq._doctor_partitions() IS
'Messages in default partitions, and partitions that could neither be added nor dropped.

Also unread messages that retention has dropped within a day.';
