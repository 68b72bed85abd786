-- The partitions that the catalog shows.
CREATE OR REPLACE FUNCTION pgmq._partition_column(relation text)
RETURNS name
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT a.attname
    FROM pg_partitioned_table AS t
    INNER JOIN pg_attribute AS a ON t.partrelid = a.attrelid AND t.partattrs[0] = a.attnum
    WHERE t.partrelid = to_regclass(relation) AND t.partstrat = 'r' AND t.partnatts = 1
        AND a.attname IN ('msg_id', 'enqueued_at', 'archived_at')
$$;
COMMENT ON FUNCTION pgmq._partition_column(text) IS
'The column whose ranges a table is partitioned by; null for a table without partitions.';

CREATE OR REPLACE FUNCTION pgmq._is_stream(queue regclass)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = queue AND a.attname = 'key_hash' AND NOT a.attisdropped
    )
$$;
COMMENT ON FUNCTION pgmq._is_stream(regclass) IS
'Whether a table is that of a stream: its messages have a hash of their key, and no vt.';

CREATE OR REPLACE FUNCTION pgmq._partitions(relation regclass)
RETURNS TABLE (partition regclass, first_key bigint, end_key bigint)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT i.inhrelid, pgmq._partition_bound(b.bounds[1]), pgmq._partition_bound(b.bounds[2])
    FROM pg_catalog.pg_inherits AS i
    INNER JOIN pg_catalog.pg_class AS c ON i.inhrelid = c.oid
    CROSS JOIN regexp_match(
        pg_catalog.pg_get_expr(c.relpartbound, c.oid), 'FROM [(](.*)[)] TO [(](.*)[)]'
    ) AS b (bounds)
    WHERE i.inhparent = relation AND b.bounds IS NOT NULL
$$;
COMMENT ON FUNCTION pgmq._partitions(regclass) IS
'The partitions of a table, with the first key of each and the first key behind it.

The default partition is left out.';

CREATE OR REPLACE FUNCTION pgmq._current_key(queue_name text, partition_column text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF partition_column <> 'msg_id' THEN
        RETURN pgmq._microseconds(clock_timestamp());
    END IF;
    RETURN coalesce(pgmq._sequence_value(
        pg_get_serial_sequence(pgmq._queue_table(queue_name)::text, 'msg_id')::regclass
    ), 0);
END
$$;
COMMENT ON FUNCTION pgmq._current_key(text, text) IS
'The current key of a queue, or of its archive: the last msg_id that was drawn, or the time.';

CREATE OR REPLACE FUNCTION pgmq._default_partition(relation regclass)
RETURNS regclass
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT nullif(t.partdefid, 0) FROM pg_catalog.pg_partitioned_table AS t
    WHERE t.partrelid = relation
$$;
COMMENT ON FUNCTION pgmq._default_partition(regclass) IS
'The partition for all that belongs in no other; null if there is none.';

CREATE OR REPLACE FUNCTION pgmq._partition_name(relation regclass, suffix text)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- Named as pg_partman does. A name that would be cut off could be another queue's.
    SELECT CASE
        WHEN octet_length(c.relname || suffix) <= 63 THEN c.relname || suffix
        ELSE left(c.relname, 2) || md5(c.relname) || suffix
    END
    FROM pg_catalog.pg_class AS c
    WHERE c.oid = relation
$$;
COMMENT ON FUNCTION pgmq._partition_name(regclass, text) IS
'The name of a partition of a table, or of an index that is put aside.';

CREATE OR REPLACE FUNCTION pgmq._keys_between(
    partition_column text,
    first_key bigint,
    end_key bigint
)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- The least and the greatest bigint stand for MINVALUE and MAXVALUE.
    SELECT coalesce(nullif(concat_ws(
        ' AND ',
        CASE WHEN first_key > '-9223372036854775808'::bigint THEN format(
            '%I >= %L', partition_column, pgmq._partition_literal(partition_column, first_key)
        ) END,
        CASE WHEN end_key < 9223372036854775807 THEN format(
            '%I < %L', partition_column, pgmq._partition_literal(partition_column, end_key)
        ) END
    ), ''), 'true')
$$;
COMMENT ON FUNCTION pgmq._keys_between(text, bigint, bigint) IS
'A condition for the keys from one on, and before another; null: no such bound.';

CREATE OR REPLACE FUNCTION pgmq._default_keys(relation regclass)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH ends AS (
        SELECT p.first_key, p.end_key FROM pgmq._partitions(relation) AS p
        UNION ALL
        SELECT null, null
    ),
    gaps AS (
        SELECT e.end_key AS first_key, lead(e.first_key) OVER w AS end_key
        FROM ends AS e
        WINDOW w AS (ORDER BY e.first_key NULLS FIRST)
    ),
    conditions AS (
        SELECT pgmq._keys_between(
            pgmq._partition_column(relation::text)::text, g.first_key, g.end_key
        ) AS condition
        FROM gaps AS g
        WHERE (g.first_key = g.end_key) IS NOT TRUE
            -- A partition from MINVALUE, or to MAXVALUE.
            AND coalesce(g.first_key, 0) < 9223372036854775807
            AND coalesce(g.end_key, 0) > '-9223372036854775808'::bigint
    )
    SELECT coalesce(string_agg(c.condition, ' OR '), 'false')
    FROM conditions AS c
$$;
COMMENT ON FUNCTION pgmq._default_keys(regclass) IS
'A condition for the keys that are in no partition but the default one.';

-- A partitioned table has no key. But a publication of deletes and updates, such as FOR ALL TABLES,
-- makes them fail in a table without a replica identity. (Unless wal_level is logical, it costs
-- nothing.)
CREATE OR REPLACE FUNCTION pgmq._storage(relation regclass)
RETURNS TABLE (relid regclass)
LANGUAGE sql STABLE ROWS 10
AS $$
    -- Plain SQL, so that it is inlined.
    SELECT relation
    UNION
    SELECT p.relid FROM pg_catalog.pg_partition_tree(relation) AS p WHERE p.isleaf
$$;
COMMENT ON FUNCTION pgmq._storage(regclass) IS
'A table and, if it is partitioned, the partitions that its rows are in.';

CREATE OR REPLACE FUNCTION pgmq._add_replica_identity(relation regclass)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_table regclass;
BEGIN
    FOR v_table IN
        SELECT t.relid
        FROM pg_partition_tree(relation) AS t
        -- Not a join, which can become a scan of all relations.
        WHERE (
                SELECT c.relreplident = 'd' AND c.relkind IN ('r', 'p')
                FROM pg_class AS c
                WHERE c.oid = t.relid
            )
            AND NOT EXISTS (
                SELECT FROM pg_index AS i WHERE i.indrelid = t.relid AND i.indisprimary
            )
        ORDER BY t.level
    LOOP
        EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', v_table);
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._add_replica_identity(regclass) IS
'Let updates and deletes of a partitioned table be published by the whole row.

Partitions with a key or an identity of their own stay as they are.';
