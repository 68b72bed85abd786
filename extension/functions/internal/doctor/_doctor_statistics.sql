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
            ' metrics are estimated, and autovacuum does not know what there is to do',
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
