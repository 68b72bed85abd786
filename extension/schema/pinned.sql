DO $$
BEGIN
    IF to_regclass('pgmq.pinned') IS NULL THEN
        CREATE TABLE pgmq.pinned (
            queue_name text PRIMARY KEY
        );
    END IF;
END
$$;
COMMENT ON TABLE pgmq.pinned IS 'The queues that pgmq.pin() was called for.';
