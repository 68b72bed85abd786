CREATE OR REPLACE FUNCTION pgmq._planned_rows(query text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_plan json;
BEGIN
    EXECUTE format('EXPLAIN (FORMAT JSON) %s', query) INTO v_plan;
    RETURN (v_plan -> 0 -> 'Plan' ->> 'Plan Rows')::bigint;
END
$$;
COMMENT ON FUNCTION pgmq._planned_rows(text) IS 'How many rows the planner expects of a query.';

CREATE OR REPLACE FUNCTION pgmq._estimated_rows(relation regclass)
RETURNS bigint
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    -- The counters of the statistics system follow every commit but are lost in a crash; the
    -- planner's figure lasts. The partitions of a table have figures of their own. A role that may
    -- read the table may have no right to query a partition.
    SELECT sum(CASE
        WHEN pg_stat_get_tuples_inserted(t.relid) > 0 OR pg_stat_get_live_tuples(t.relid) > 0
            THEN pg_stat_get_live_tuples(t.relid)
        WHEN NOT c.relispartition THEN pgmq._planned_rows(format('SELECT FROM %s', t.relid))
        ELSE greatest(c.reltuples, 0) / greatest(c.relpages, 1) * pg_relation_size(t.relid)
            / current_setting('block_size')::integer
    END)::bigint
    FROM (
        SELECT p.relid FROM pg_partition_tree(relation) AS p WHERE p.isleaf
        UNION
        SELECT c.oid FROM pg_class AS c WHERE c.oid = relation AND c.relkind <> 'p'
    ) AS t
    INNER JOIN pg_class AS c ON t.relid = c.oid
$$;
COMMENT ON FUNCTION pgmq._estimated_rows(regclass) IS 'How many live rows the statistics know of.';

CREATE OR REPLACE FUNCTION pgmq._default_rows(relation regclass, exact bigint)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = on
AS $$
DECLARE
    v_count bigint;
BEGIN
    -- Query the table: a role that may read it may have no right to query a partition. The planner
    -- sees that no other partition has such keys.
    EXECUTE format(
        'SELECT count(*) FROM (SELECT FROM %s WHERE %s LIMIT $1 + 1) AS m',
        relation, pgmq._default_keys(relation)
    ) INTO v_count USING exact;
    IF v_count > exact THEN
        RETURN greatest(v_count, CASE
            WHEN pgmq._is_counted(pgmq._default_partition(relation), pgmq._created_at(relation))
                THEN pgmq._estimated_rows(pgmq._default_partition(relation))
            ELSE pgmq._planned_rows(
                format('SELECT FROM %s WHERE %s', relation, pgmq._default_keys(relation))
            )
        END);
    END IF;
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION pgmq._default_rows(regclass, bigint) IS
'How many rows the default partition of a table has: counted up to a number, estimated beyond.';

CREATE OR REPLACE FUNCTION pgmq._dead_rows(relation regclass)
RETURNS bigint
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT sum(pg_stat_get_dead_tuples(t.relid))::bigint
    FROM (
        SELECT relation AS relid
        UNION ALL
        SELECT p.relid FROM pg_partition_tree(relation) AS p WHERE p.isleaf
    ) AS t
$$;
COMMENT ON FUNCTION pgmq._dead_rows(regclass) IS
'How many dead rows of a table, partitions included, vacuum has yet to remove, by the statistics.';

CREATE OR REPLACE FUNCTION pgmq._created_at(relation regclass)
RETURNS timestamptz
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT min(m.created_at)
    FROM pgmq.meta AS m
    WHERE (SELECT c.relname FROM pg_class AS c WHERE c.oid = relation) IN (
        pgmq.format_table_name(m.queue_name, 'q'), pgmq.format_table_name(m.queue_name, 'a')
    )
$$;
COMMENT ON FUNCTION pgmq._created_at(regclass) IS
'When the queue was created that this table or archive belongs to.';

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
        FROM (
            SELECT p.relid FROM pg_partition_tree(relation) AS p WHERE p.isleaf
            UNION
            SELECT c.oid FROM pg_class AS c WHERE c.oid = relation AND c.relkind <> 'p'
        ) AS t
        WHERE pg_relation_size(t.relid) > 0 AND coalesce(
            pg_stat_get_last_autovacuum_time(t.relid), pg_stat_get_last_vacuum_time(t.relid),
            pg_stat_get_last_autoanalyze_time(t.relid), pg_stat_get_last_analyze_time(t.relid)
        ) IS NULL
    )
$$;
COMMENT ON FUNCTION pgmq._is_counted(regclass, timestamptz) IS
'Whether the statistics system knows how many rows a table has that was created at that time.';
