DO $$
BEGIN
    IF to_regclass('pgmq.partitioning') IS NULL THEN
        CREATE TABLE pgmq.partitioning (
            queue_name text NOT NULL,
            is_archive boolean NOT NULL,
            partition_interval text NOT NULL,
            retention_interval text,        -- null: no partition is dropped
            premake integer NOT NULL,
            -- The messages that were still in the queue when retention dropped their partition, and
            -- how many of those nobody had ever read.
            dropped_messages bigint NOT NULL DEFAULT 0,
            dropped_unread bigint NOT NULL DEFAULT 0,
            dropped_at timestamptz,
            PRIMARY KEY (queue_name, is_archive)
        );
    END IF;
    -- Of streams: 2.0.0 had none.
    IF NOT EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = 'pgmq.partitioning'::regclass AND a.attname = 'skipped_ids'
    ) THEN
        ALTER TABLE pgmq.partitioning
        -- A segment ends after this time; null: when it is full.
        ADD COLUMN IF NOT EXISTS segment_interval text,
        -- The ids that were passed over when segments ended.
        ADD COLUMN IF NOT EXISTS skipped_ids bigint NOT NULL DEFAULT 0;
    END IF;
END
$$;
COMMENT ON TABLE pgmq.partitioning IS
'The settings of each partitioned table of a queue, and what retention has dropped of it.

If pg_partman maintains the table, its part_config decides instead.';

DO $$
BEGIN
    IF to_regclass('pgmq.tending') IS NULL THEN
        CREATE UNLOGGED TABLE pgmq.tending (queue_name text NOT NULL);
    END IF;
END
$$;
COMMENT ON TABLE pgmq.tending IS
'Always empty: inserting a queue''s name lets the commit maintain the queue''s partitions.';
