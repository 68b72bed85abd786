CREATE OR REPLACE FUNCTION pgmq.create_partitioned(
    queue_name text,
    partition_interval text DEFAULT '10000',
    retention_interval text DEFAULT '100000',
    premake integer DEFAULT 4
)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_path CONSTANT text := pg_catalog.current_setting('search_path'::text);
BEGIN
    PERFORM pgmq._check_partitioning(partition_interval, retention_interval, premake);
    PERFORM pgmq._create(
        queue_name, false, partition_interval, retention_interval, premake
    );
    PERFORM pgmq._restore_search_path(v_path);
END
$$;
COMMENT ON FUNCTION pgmq.create_partitioned(text, text, text, integer) IS
'Create a queue whose table, and archive, consist of partitions that retention drops.

They are by msg_id when partition_interval is a number of messages, or by time when it is a duration (such as 1 day, or 1 month, or a word of pg_partman 4, such as daily): the queue by enqueued_at, the archive by archived_at. A partition is dropped, with what is left in it, when all of it is older than retention_interval, or its msg_ids are that much smaller than the greatest one there is; null keeps them for good. premake is how many partitions there are in advance.

Where the extension pg_partman is installed, it keeps the partitions, and its maintenance must be scheduled; else reads, sends and maintain do that. Does nothing but a notice when the queue is there.';
