DO $$
BEGIN
    IF to_regclass('pgmq.template') IS NULL THEN
        CREATE TABLE pgmq.template (
            -- One word, so that the name of the compiled function, _<name>_<queue>, is unambiguous.
            name text CHECK (name ~ '^[a-z]+$'),
            body text NOT NULL
        );
    END IF;
    IF NOT EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = 'pgmq.template'::regclass AND a.attname = 'features'
    ) THEN
        ALTER TABLE pgmq.template
        ADD COLUMN IF NOT EXISTS plain text,    -- rendered, for a queue without a policy
        -- "a or b" means queues with one of these features; an empty text means every queue.
        ADD COLUMN IF NOT EXISTS features text NOT NULL DEFAULT '';
    END IF;
    IF NOT EXISTS (
        SELECT FROM pg_constraint AS c
        WHERE c.conrelid = 'pgmq.template'::regclass AND c.contype = 'p'
            AND cardinality(c.conkey) = 2
    )
    THEN
        ALTER TABLE pgmq.template DROP CONSTRAINT IF EXISTS template_pkey;
        ALTER TABLE pgmq.template ADD PRIMARY KEY (name, features);
    END IF;
END
$$;
COMMENT ON TABLE pgmq.template IS 'The SQL that is compiled into each queue; filled by the installation, rendered by pgmq._compile().';
