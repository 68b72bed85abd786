DO $$
BEGIN
    IF to_regclass('pgmq.policy') IS NULL THEN
        CREATE TABLE pgmq.policy (
            queue_name text PRIMARY KEY,
            max_receives integer,
            dead_letter_queue text,
            retry_delay interval,
            retry_delay_max interval,
            retry_jitter real NOT NULL,
            message_ttl interval,
            archive_retention interval,
            dedup_window interval,
            max_in_flight integer,
            ack_archives boolean NOT NULL
        );
    END IF;
    -- Options that 2.0.0 did not have. (To add a column IF NOT EXISTS locks the table first.)
    IF NOT EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = 'pgmq.policy'::regclass AND a.attname = 'priority_ageing'
    ) THEN
        ALTER TABLE pgmq.policy
        ADD COLUMN IF NOT EXISTS rate_limit integer,
        ADD COLUMN IF NOT EXISTS rate_interval interval,
        ADD COLUMN IF NOT EXISTS rate_burst integer,
        ADD COLUMN IF NOT EXISTS max_in_flight_per_group integer,
        ADD COLUMN IF NOT EXISTS dedup_scope text,
        ADD COLUMN IF NOT EXISTS priorities boolean NOT NULL DEFAULT false,
        ADD COLUMN IF NOT EXISTS priority_ageing interval;
    END IF;
END
$$;
COMMENT ON TABLE pgmq.policy IS 'The policies of queues, one row for each; pgmq.set_policy() writes and compiles it.

A change by hand has no effect.';
