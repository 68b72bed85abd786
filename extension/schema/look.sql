DO $$
BEGIN
    -- Nobody is left who was writing before a crash.
    IF to_regclass('pgmq.look') IS NULL THEN
        CREATE UNLOGGED TABLE pgmq.look (
            queue oid NOT NULL,
            epoch bigint NOT NULL,
            ids_file oid NOT NULL,      -- of the sequence of ids: ids that begin again have another
            next_id bigint NOT NULL,
            looked_at bigint NOT NULL,  -- microseconds since 1970
            writers integer[],          -- hashes of their transactions; null: too many
            -- What looks have shown until then.
            ready_limit bigint,
            live_limit bigint,
            parked_limit bigint,
            next_at bigint,             -- nobody looks again before
            PRIMARY KEY (queue, epoch)
        );
    END IF;
    -- 2.0.0 had none.
    IF NOT EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = 'pgmq.look'::regclass AND a.attname = 'next_at'
    ) THEN
        ALTER TABLE pgmq.look ADD COLUMN next_at bigint;
    END IF;
    -- Not owned by the column: each member of the extension may change its owner on its own.
    IF to_regclass('pgmq.look_epoch') IS NULL THEN
        CREATE SEQUENCE pgmq.look_epoch;
    END IF;
END
$$;
COMMENT ON TABLE pgmq.look IS 'Who was writing to a queue at a time, for all sessions; pgmq._look_at() alone writes it.

A row is never updated: the newest committed one of a queue counts.';
