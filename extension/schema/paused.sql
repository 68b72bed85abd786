DO $$
BEGIN
    IF to_regclass('pgmq.paused') IS NULL THEN
        CREATE TABLE pgmq.paused (
            queue_name text PRIMARY KEY
            CONSTRAINT paused_meta_queue_name_fk
            REFERENCES pgmq.meta (queue_name) ON DELETE CASCADE,
            reads boolean NOT NULL,
            sends boolean NOT NULL,
            paused_at timestamptz NOT NULL
        );
    END IF;
END
$$;
COMMENT ON TABLE pgmq.paused IS 'The queues that are paused; pgmq.pause() writes and compiles it.

A change by hand has no effect.';
