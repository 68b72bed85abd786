CREATE OR REPLACE FUNCTION pgmq._counters_began_at()
RETURNS timestamptz
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT greatest(
        pg_stat_get_bgwriter_stat_reset_time(),
        (
            SELECT pg_stat_get_db_stat_reset_time(d.oid)
            FROM pg_database AS d
            WHERE d.datname = current_database()
        )
    )
$$;
COMMENT ON FUNCTION pgmq._counters_began_at() IS
'When the statistics system began to count: at a crash, in a new cluster, or when told to.';

CREATE OR REPLACE FUNCTION pgmq._is_counted(relation regclass, created_at timestamptz)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- A vacuum or an ANALYZE says how many rows there are; else only what was counted from the
    -- beginning is right.
    SELECT coalesce(_is_counted.created_at > pgmq._counters_began_at(), true) OR NOT EXISTS (
        SELECT
        FROM pgmq._storage(relation) AS t
        WHERE pg_relation_size(t.relid) > 0 AND coalesce(
            pg_stat_get_last_autovacuum_time(t.relid), pg_stat_get_last_vacuum_time(t.relid),
            pg_stat_get_last_autoanalyze_time(t.relid), pg_stat_get_last_analyze_time(t.relid)
        ) IS NULL
    )
$$;
COMMENT ON FUNCTION pgmq._is_counted(regclass, timestamptz) IS
'Whether the statistics system knows how many rows a table has that was created at that time.';

CREATE OR REPLACE FUNCTION pgmq._doctor_statistics()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH counters AS MATERIALIZED (
        SELECT pgmq._counters_began_at() AS began_at
    )
    SELECT
        'warning', m.queue_name,
        format(
            'the statistics of %s were lost, by a crash, pg_upgrade or a reset, %s:'
            ' autovacuum does not know what there is to do',
            q.id, to_char(b.began_at, 'YYYY-MM-DD HH24:MI:SS TZ')
        ),
        format('VACUUM (ANALYZE) %s', q.id)
    FROM pgmq.meta AS m
    INNER JOIN counters AS b ON m.created_at < b.began_at
    CROSS JOIN pgmq._queue_table(m.queue_name) AS q (id)
    -- Small queues are counted, and vacuumed soon. A standby has statistics of its own.
    WHERE NOT pg_is_in_recovery()
        AND CASE WHEN (
                SELECT sum(pg_relation_size(coalesce(t.relid, q.id)))
                FROM (VALUES (true)) AS one (row)
                LEFT JOIN pg_partition_tree(q.id) AS t ON t.isleaf
            ) > 1000000 THEN NOT pgmq._is_counted(q.id, m.created_at) END
$$;
COMMENT ON FUNCTION pgmq._doctor_statistics() IS
'Larger queues without statistics, after a crash, pg_upgrade or a reset.';
