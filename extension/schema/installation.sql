DO $$
BEGIN
    -- A crash may empty it, and no publication has it: the sources are then run once more.
    IF to_regclass('pgmq.installation') IS NULL THEN
        CREATE UNLOGGED TABLE pgmq.installation (
            digest text PRIMARY KEY,
            names text[] NOT NULL,      -- whatever the sources name in the schema
            state text                  -- null until they and the queues are done
        );
    END IF;
END
$$;
COMMENT ON TABLE pgmq.installation IS 'Which sources were run here last, and what they left, so that running them again changes nothing.';
