DO $$
BEGIN
    IF to_regclass('pgmq.template') IS NULL THEN
        CREATE TABLE pgmq.template (
            -- One word: the compiled function is _<name>_<queue>, to be read in one way only.
            name text PRIMARY KEY CHECK (name ~ '^[a-z]+$'),
            body text NOT NULL
        );
    END IF;
    ALTER TABLE pgmq.template
    ADD COLUMN IF NOT EXISTS plain text;    -- rendered, for a queue without a policy
END
$$;
COMMENT ON TABLE pgmq.template IS 'The SQL that is compiled into each queue; filled by the installation, rendered by pgmq._compile().';
