DO $$
BEGIN
    -- Unlogged: no publication contains the table, and if a crash empties it, the sources are only
    -- run once more.
    IF to_regclass('pgmq.installation') IS NULL THEN
        CREATE UNLOGGED TABLE pgmq.installation (
            digest text PRIMARY KEY,
            names text[] NOT NULL,      -- all that the sources name in the schema
            state text                  -- null until the sources and the queues are done
        );
    END IF;
END
$$;
COMMENT ON TABLE pgmq.installation IS 'Which sources were run last, and what they created, so that running them again changes nothing.';
