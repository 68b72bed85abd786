-- Where pg_partman is installed, partitioned tables are handed to it: 4.x, or 5.x, for which only
-- the type of partitioning has another name.
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
'The schema and the major version of the extension pg_partman; null where it is not installed.';

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
        USING (SELECT format('pgmq.%s', c.relname) FROM pg_class AS c WHERE c.oid = relation);
    END IF;
    RETURN v_keeps;
END
$$;
COMMENT ON FUNCTION pgmq._partman_keeps(regclass) IS 'Whether pg_partman keeps the partitions of a table.';

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
    -- pg_partman's own, which it made for this table.
    IF v_template = format('%s.template_pgmq_%s', v_schema, table_name) THEN
        EXECUTE format('DROP TABLE IF EXISTS %I.%I', v_schema, format('template_pgmq_%s', table_name));
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._partman_forget(text) IS
'Have pg_partman, where it is installed, forget a table that is about to be dropped.';
