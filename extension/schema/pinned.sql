DO $$
BEGIN
    IF to_regclass('pgmq.pinned') IS NULL THEN
        CREATE TABLE pgmq.pinned (
            queue_name text PRIMARY KEY
            CONSTRAINT pinned_meta_queue_name_fk
            REFERENCES pgmq.meta (queue_name) ON DELETE CASCADE
        );
    END IF;
END
$$;
COMMENT ON TABLE pgmq.pinned IS 'The queues that pgmq.pin() was called for.';
