CREATE OR REPLACE FUNCTION pgmq.convert_archive_partitioned(
    table_name text,
    partition_interval text DEFAULT '10000',
    retention_interval text DEFAULT '100000',
    leading_partition integer DEFAULT 10
)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_path CONSTANT text := pg_catalog.current_setting('search_path'::text);
BEGIN
    PERFORM pgmq._convert_archive(
        table_name, partition_interval, retention_interval, leading_partition
    );
    PERFORM pgmq._restore_search_path(v_path);
END
$$;
COMMENT ON FUNCTION pgmq.convert_archive_partitioned(text, text, text, integer) IS
'Give a queue a partitioned archive (see create_partitioned).

The old archive is renamed to pgmq.a_<queue>_old, with its rows, and no longer belongs to the queue.
leading_partition is how many partitions are created in advance. If the archive is partitioned
already, or missing, this only raises a notice. Raises undefined_table for an unknown queue.';
