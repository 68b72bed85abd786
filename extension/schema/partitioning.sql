DO $$
BEGIN
    IF to_regclass('pgmq.partitioning') IS NULL THEN
        CREATE TABLE pgmq.partitioning (
            queue_name text NOT NULL
            CONSTRAINT partitioning_meta_queue_name_fk
            REFERENCES pgmq.meta (queue_name) ON DELETE CASCADE,
            is_archive boolean NOT NULL,
            partition_interval text NOT NULL,
            retention_interval text,        -- null: for good
            premake integer NOT NULL,
            -- What retention has dropped that was still in the queue, and of that what nobody had
            -- ever read.
            dropped_messages bigint NOT NULL DEFAULT 0,
            dropped_unread bigint NOT NULL DEFAULT 0,
            dropped_at timestamptz,
            PRIMARY KEY (queue_name, is_archive)
        );
    END IF;
END
$$;
COMMENT ON TABLE pgmq.partitioning IS 'One row for each partitioned table of a queue: how, how long, and what retention has dropped.

Of tables that pg_partman keeps, its part_config decides instead.';

DO $$
BEGIN
    IF to_regclass('pgmq.tending') IS NULL THEN
        CREATE UNLOGGED TABLE pgmq.tending (queue_name text NOT NULL);
    END IF;
END
$$;
COMMENT ON TABLE pgmq.tending IS 'Always empty: inserting a queue''s name has its partitions tended when the transaction commits.';
