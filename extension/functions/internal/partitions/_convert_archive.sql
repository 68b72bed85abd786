CREATE OR REPLACE FUNCTION pgmq._convert_archive(
    table_name text,
    partition_interval text,
    retention_interval text,
    leading_partition integer
)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_archive text;
    v_relation regclass;
    v_queue_name text;
    v_old regclass;
    v_index regclass;
BEGIN
    IF table_name IS NULL THEN
        PERFORM pgmq._raise_null('table_name', 'Give the name of the queue.');
    END IF;
    v_queue_name := coalesce(pgmq._lock_queue_name(table_name), table_name);
    v_archive := pgmq.format_table_name(v_queue_name, 'a');
    v_relation := to_regclass(format('pgmq.%I', v_archive));
    IF v_relation IS NULL THEN
        PERFORM pgmq._compiled('receive', table_name);     -- an unknown queue is an error
        RAISE NOTICE 'Table %s does not exists', v_archive;
        RETURN;
    END IF;
    IF (SELECT c.relkind FROM pg_class AS c WHERE c.oid = v_relation) = 'p' THEN
        RAISE NOTICE 'Table %s is already partitioned', v_archive;
        RETURN;
    END IF;
    PERFORM pgmq._check_partitioning(partition_interval, retention_interval, leading_partition);
    IF octet_length(v_archive || '_old') > 63 THEN
        RAISE EXCEPTION 'queue name "%" is too long in bytes to rename its archive: %, maximum is 57',
            v_queue_name, octet_length(v_archive) - 2
            USING ERRCODE = 'name_too_long', HINT = 'The archive gets a name with _old at the end.';
    END IF;

    EXECUTE format('ALTER TABLE %s RENAME TO %I', v_relation, v_archive || '_old');
    v_old := v_relation;
    v_index := pgmq._relation('archived_at_idx', v_queue_name);
    IF v_index IS NOT NULL THEN
        EXECUTE format('ALTER INDEX %s RENAME TO %I', v_index, pgmq._partition_name(v_index, '_old'));
    END IF;
    PERFORM pgmq._create_archive(v_queue_name, partition_interval);
    -- The new archive gets the owner and the grants of the old one.
    v_relation := format('pgmq.%I', v_archive)::regclass;
    EXECUTE format('ALTER TABLE %s OWNER TO %s', v_relation, pgmq._owner(v_old));
    PERFORM pgmq._copy_grants(v_old, v_relation);
    PERFORM pgmq._start_partitioning(
        v_queue_name, true, partition_interval, retention_interval, leading_partition
    );
END
$$;
COMMENT ON FUNCTION pgmq._convert_archive(text, text, text, integer) IS
'Give a queue a partitioned archive; if pg_partman is installed, its search_path outlives the call.';
