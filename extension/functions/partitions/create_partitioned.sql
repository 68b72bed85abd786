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
'Create a queue whose table and archive consist of partitions, which retention drops.

partition_interval is a number of messages, for partitions by msg_id, or a duration, for partitions
by time: such as 1 day or 1 month, or a word of pg_partman 4, such as daily. By time, the queue is
partitioned by enqueued_at, the archive by archived_at.

A partition is dropped, with what is left in it, when all of it is older than retention_interval. By
msg_id, it is dropped when all its msg_ids are that much smaller than the greatest one. With a null
retention_interval no partition is ever dropped. premake is how many partitions are created in
advance.

If the extension pg_partman is installed, it maintains the partitions, and its maintenance must be
scheduled. Otherwise reads, sends and maintain do that. If the queue exists, this only raises a
notice.';
