DO $$
BEGIN
    -- Unlogged: a crash ends all the transactions that were writing.
    IF to_regclass('pgmq.look') IS NULL THEN
        CREATE UNLOGGED TABLE pgmq.look (
            queue oid NOT NULL,
            epoch bigint NOT NULL,
            ids_file oid NOT NULL,      -- file of the sequence of ids: another when ids restart
            next_id bigint NOT NULL,
            looked_at bigint NOT NULL,  -- microseconds since 1970
            writers integer[],          -- hashes of their transactions; null: too many
            -- What the looks until then have shown.
            ready_limit bigint,
            live_limit bigint,
            parked_limit bigint,
            next_at bigint,             -- nobody looks again before this time
            server_start timestamptz,   -- a look from before a restart is void
            PRIMARY KEY (queue, epoch)
        );
    END IF;
    -- 2.0.0 had none of these.
    IF NOT EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = 'pgmq.look'::regclass AND a.attname = 'server_start'
    ) THEN
        ALTER TABLE pgmq.look
        ADD COLUMN IF NOT EXISTS next_at bigint,
        ADD COLUMN IF NOT EXISTS server_start timestamptz;
    END IF;
    -- Not owned by the column, so that each member of the extension can change its owner alone.
    IF to_regclass('pgmq.look_epoch') IS NULL THEN
        CREATE SEQUENCE pgmq.look_epoch;
    END IF;
END
$$;
COMMENT ON TABLE pgmq.look IS
'Which transactions were writing to a queue at a time, for all sessions.

Only pgmq._look_at() and, for streams, pgmq._settled() add rows, and pgmq._clear_looks() deletes
them. No row is updated: the newest committed row of a queue counts.';
