-- If pg_partman is installed, it maintains the partitioned tables. Versions 4.x and 5.x are known;
-- in 5.x the type of partitioning has another name.
CREATE OR REPLACE FUNCTION pgmq._partman(OUT schema_name name, OUT major_version integer)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT n.nspname, split_part(e.extversion, '.', 1)::integer
    FROM pg_catalog.pg_extension AS e
    INNER JOIN pg_catalog.pg_namespace AS n ON e.extnamespace = n.oid
    WHERE e.extname = 'pg_partman'
$$;
COMMENT ON FUNCTION pgmq._partman() IS
'The schema and the major version of the extension pg_partman; null if it is not installed.';

CREATE OR REPLACE FUNCTION pgmq._partman_name(relation regclass)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT format('pgmq.%s', c.relname) FROM pg_class AS c WHERE c.oid = relation);
END
$$;
COMMENT ON FUNCTION pgmq._partman_name(regclass) IS
'The name of a table in pg_partman''s configuration: schema and name, not quoted.';

CREATE OR REPLACE FUNCTION pgmq._partman_keeps(relation regclass)
RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_schema name := (SELECT p.schema_name FROM pgmq._partman() AS p);
    v_keeps boolean := false;
BEGIN
    IF v_schema IS NOT NULL THEN
        EXECUTE format(
            'SELECT EXISTS (SELECT FROM %I.part_config AS p WHERE p.parent_table = $1)', v_schema
        ) INTO v_keeps
        USING pgmq._partman_name(relation);
    END IF;
    RETURN v_keeps;
END
$$;
COMMENT ON FUNCTION pgmq._partman_keeps(regclass) IS
'Whether pg_partman maintains the partitions of a table.';

CREATE OR REPLACE FUNCTION pgmq._partman_take_over(
    relation regclass,
    partition_interval text,
    retention_interval text,
    premake integer,
    is_endless boolean
)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_partman CONSTANT record := pgmq._partman();
BEGIN
    EXECUTE format(
        $sql$
        SELECT %I.create_parent(
            p_parent_table := $1,
            p_control := $2,
            p_interval := $3,
            p_type := $4,
            p_premake := $5
        )
        $sql$,
        v_partman.schema_name
    ) USING pgmq._partman_name(relation), pgmq._partition_column(relation::text),
        -- Words for intervals, and this type, are of pg_partman 4 only.
        CASE WHEN v_partman.major_version >= 5 THEN pgmq._partition_interval(partition_interval)
            ELSE partition_interval END,
        CASE WHEN v_partman.major_version >= 5 THEN 'range' ELSE 'native' END, premake;
    EXECUTE format(
        $sql$
        UPDATE %I.part_config
        SET retention = $2,
            retention_keep_table = false,
            retention_keep_index = NOT $3,
            infinite_time_partitions = $3,
            automatic_maintenance = 'on'
        WHERE parent_table = $1
        $sql$,
        v_partman.schema_name
    ) USING pgmq._partman_name(relation), retention_interval, is_endless;
END
$$;
COMMENT ON FUNCTION pgmq._partman_take_over(regclass, text, text, integer, boolean) IS
'Let pg_partman create the first partitions of a table and maintain them from then on.

An endless table gets partitions by time even while no rows come.';

CREATE OR REPLACE FUNCTION pgmq._partman_settings(
    relation regclass,
    OUT partition_interval text,
    OUT retention_interval text,
    OUT premake integer
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format(
        'SELECT p.partition_interval, p.retention, p.premake FROM %I.part_config AS p'
        ' WHERE p.parent_table = $1',
        (SELECT p.schema_name FROM pgmq._partman() AS p)
    ) INTO partition_interval, retention_interval, premake USING pgmq._partman_name(relation);
END
$$;
COMMENT ON FUNCTION pgmq._partman_settings(regclass) IS
'The settings by which pg_partman maintains the partitions of a table.';

-- While the default partition holds messages for the next partition, pg_partman cannot create it,
-- and creates no more. (Others that use the table meanwhile would miss them: see _add_partition.)
CREATE OR REPLACE FUNCTION pgmq._partman_empty_default(relation regclass)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
    v_default CONSTANT regclass := pgmq._default_partition(relation);
    v_count bigint := 0;
    v_left boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM %s)', v_default) INTO v_left;
    IF v_default IS NULL OR NOT v_left THEN
        RETURN 0;
    END IF;
    EXECUTE format(
        'LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE %s', relation,
        CASE WHEN pgmq._must_not_wait(relation) THEN 'NOWAIT' END
    );
    -- A lease does not end by being moved, as the triggers of push delivery would think.
    EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', v_default);
    EXECUTE format(
        $sql$
        SELECT %I.%I(
            p_parent_table := $1,
            p_batch_count := 1000000,
            p_analyze := false
        )
        $sql$,
        (SELECT p.schema_name FROM pgmq._partman() AS p),
        CASE pgmq._partition_column(relation::text)
            WHEN 'msg_id' THEN 'partition_data_id'
            ELSE 'partition_data_time'
        END
    ) INTO v_count USING pgmq._partman_name(relation);
    EXECUTE format('ALTER TABLE %s ENABLE TRIGGER USER', v_default);
    RETURN v_count;
EXCEPTION
    WHEN lock_not_available OR deadlock_detected OR object_in_use THEN
        PERFORM pgmq._postpone_partitions(relation, true, SQLERRM);
        RETURN 0;
END
$$;
COMMENT ON FUNCTION pgmq._partman_empty_default(regclass) IS
'Let pg_partman move messages of the default partition of a table to partitions of their own.';

CREATE OR REPLACE FUNCTION pgmq._partman_forget(table_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
    v_schema name := (SELECT p.schema_name FROM pgmq._partman() AS p);
    v_template text;
BEGIN
    IF v_schema IS NULL
        OR pgmq._partition_column(format('pgmq.%I', table_name)) IS NULL
    THEN
        RETURN;
    END IF;
    EXECUTE format(
        'DELETE FROM %I.part_config WHERE parent_table = $1 RETURNING template_table', v_schema
    ) INTO v_template USING format('pgmq.%s', table_name);
    -- pg_partman's own template table, which it has created for this table.
    IF v_template = format('%s.template_pgmq_%s', v_schema, table_name) THEN
        EXECUTE format('DROP TABLE IF EXISTS %I.%I', v_schema, format('template_pgmq_%s', table_name));
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._partman_forget(text) IS
'Remove a table that is about to be dropped from pg_partman, if that is installed.';
