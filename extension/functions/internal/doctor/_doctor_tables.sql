CREATE OR REPLACE FUNCTION pgmq._doctor_tables()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    -- Materialized: a planner without statistics of the catalogs would read all of them for each
    -- queue.
    WITH queues AS MATERIALIZED (
        SELECT
            m.queue_name,
            pgmq._queue_table(m.queue_name) AS relid
        FROM pgmq.meta AS m
    ),
    -- A partitioned queue's rows are in its partitions.
    parts AS MATERIALIZED (
        SELECT q.queue_name, q.relid FROM queues AS q WHERE q.relid IS NOT NULL
        UNION
        SELECT q.queue_name, p.relid
        FROM queues AS q
        INNER JOIN pg_partitioned_table AS k ON q.relid = k.partrelid
        CROSS JOIN pg_partition_tree(k.partrelid) AS p
    ),
    tables AS MATERIALIZED (
        SELECT
            t.queue_name, t.relid, c.reloptions, c.reltuples,
            pg_stat_get_live_tuples(t.relid) AS live,
            pg_stat_get_dead_tuples(t.relid) AS dead,
            pg_relation_size(t.relid) AS bytes,
            pg_indexes_size(t.relid) AS index_bytes,
            greatest(
                pg_stat_get_last_vacuum_time(t.relid), pg_stat_get_last_autovacuum_time(t.relid)
            ) AS vacuumed_at,
            pg_stat_get_last_autovacuum_time(t.relid) AS autovacuumed_at
        FROM parts AS t
        INNER JOIN pg_class AS c ON c.oid = t.relid
        WHERE c.relkind = 'r'
    )
    SELECT
        'warning', t.queue_name::text,
        format(
            '%s dead rows beside %s live ones in %s (%s, indexes %s), last vacuumed %s',
            t.dead, t.live, t.relid, pg_size_pretty(t.bytes), pg_size_pretty(t.index_bytes),
            coalesce(to_char(t.vacuumed_at, 'YYYY-MM-DD HH24:MI:SS TZ'), 'never')
        ),
        format('VACUUM %s; if that does not help, see who holds the horizon', t.relid)
    FROM tables AS t
    WHERE t.dead > 100000 AND t.dead > t.live
    UNION ALL
    -- A row takes up to 2 kB here: longer values are stored elsewhere.
    SELECT
        'info', t.queue_name,
        format(
            '%s has less than one live row per page: %s, indexes %s, for %s rows',
            t.relid, pg_size_pretty(t.bytes), pg_size_pretty(t.index_bytes), t.live
        ),
        format(
            'New messages use the space again; to give it back, VACUUM (FULL) %s while nobody uses the queue',
            t.relid
        )
    FROM tables AS t
    WHERE t.bytes > 67108864 AND t.dead <= greatest(t.live, 100000)
        AND t.live < t.bytes / current_setting('block_size')::integer
    UNION ALL
    -- An entry of these indexes takes up to 24 bytes. A vacuum empties pages, but leaves them
    -- there.
    SELECT
        'info', t.queue_name,
        format(
            'index %s has %s for %s rows, left by a burst or by a snapshot that was held',
            i.indexrelid::regclass, pg_size_pretty(pg_relation_size(i.indexrelid)), t.live
        ),
        format('REINDEX INDEX CONCURRENTLY %s', i.indexrelid::regclass)
    FROM tables AS t
    INNER JOIN pg_index AS i ON t.relid = i.indrelid
    WHERE t.index_bytes > 33554432 AND t.dead <= greatest(t.live, 100000)
        AND pg_relation_size(i.indexrelid) > 33554432 + 100 * t.live
    UNION ALL
    SELECT
        'info', t.queue_name,
        format(
            '%s rows of %s died since autovacuum came %s ago: it looks every %s s (autovacuum_naptime)',
            t.dead, t.relid, date_trunc('second', now() - t.autovacuumed_at), n.seconds
        ),
        'ALTER SYSTEM SET autovacuum_naptime = ''5s''; SELECT pg_reload_conf()'
    FROM tables AS t
    CROSS JOIN (
        SELECT s.setting::integer AS seconds FROM pg_settings AS s
        WHERE s.name = 'autovacuum_naptime'
    ) AS n
    WHERE n.seconds >= 15 AND t.dead > greatest(20000, t.live)
        AND t.autovacuumed_at > now() - 2 * n.seconds * interval '1 second'
    UNION ALL
    SELECT
        'critical', t.queue_name, format('autovacuum is switched off for %s', t.relid),
        format('ALTER TABLE %s RESET (autovacuum_enabled)', t.relid)
    FROM tables AS t
    WHERE EXISTS (
        SELECT FROM pg_options_to_table(t.reloptions) AS o
        WHERE o.option_name = 'autovacuum_enabled' AND NOT o.option_value::boolean
    )
    UNION ALL
    SELECT
        'info', t.queue_name,
        format('autovacuum waits until %s rows of %s are dead', w.rows::bigint, t.relid),
        format(
            'ALTER TABLE %s SET (autovacuum_vacuum_scale_factor = 0,'
            ' autovacuum_vacuum_threshold = 100000)',
            t.relid
        )
    FROM tables AS t
    CROSS JOIN LATERAL (
        SELECT
            coalesce(max(o.option_value) FILTER (
                WHERE o.option_name = 'autovacuum_vacuum_threshold'
            ), current_setting('autovacuum_vacuum_threshold'))::numeric
            + coalesce(max(o.option_value) FILTER (
                WHERE o.option_name = 'autovacuum_vacuum_scale_factor'
            ), current_setting('autovacuum_vacuum_scale_factor'))::numeric
            * greatest(t.reltuples, 0)::numeric AS rows
        FROM pg_options_to_table(t.reloptions) AS o
    ) AS w
    WHERE w.rows > 1000000
$$;
COMMENT ON FUNCTION pgmq._doctor_tables() IS
'Queues whose tables or indexes are bloated, or are vacuumed too late, too seldom or never.

Bloated is a table with more dead rows than live ones, or one that is mostly empty.';
