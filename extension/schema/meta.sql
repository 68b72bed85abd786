DO $$
BEGIN
    IF to_regclass('pgmq.meta') IS NULL THEN
        CREATE TABLE pgmq.meta (
            queue_name varchar NOT NULL UNIQUE,
            is_partitioned boolean NOT NULL,
            is_unlogged boolean NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now()
        );
    END IF;
    -- A publication FOR ALL TABLES needs this, or no row can be deleted.
    IF (
        SELECT c.relreplident FROM pg_class AS c WHERE c.oid = 'pgmq.meta'::regclass
    ) = 'd' AND NOT EXISTS (
        SELECT FROM pg_index AS i WHERE i.indrelid = 'pgmq.meta'::regclass AND i.indisprimary
    )
    THEN
        ALTER TABLE pgmq.meta REPLICA IDENTITY FULL;
    END IF;
END
$$;
COMMENT ON TABLE pgmq.meta IS 'One row for each queue.';
