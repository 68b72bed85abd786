DO $$
BEGIN
    IF to_regclass('pgmq.paused') IS NULL THEN
        CREATE TABLE pgmq.paused (
            queue_name text PRIMARY KEY,
            reads boolean NOT NULL,
            sends boolean NOT NULL,
            paused_at timestamptz NOT NULL
        );
    END IF;
END
$$;
COMMENT ON TABLE pgmq.paused IS 'The queues that are paused; pgmq.pause() writes and compiles it.

A change by hand has no effect.';
