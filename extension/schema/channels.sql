DO $$
BEGIN
    -- Unlogged: a crash ends all sessions, and with them their channels.
    IF to_regclass('pgmq.channel') IS NULL THEN
        CREATE UNLOGGED TABLE pgmq.channel (
            channel text PRIMARY KEY,
            number integer NOT NULL UNIQUE,
            queue_name text NOT NULL,
            maximum_messages integer NOT NULL CHECK (maximum_messages > 0),
            vt integer NOT NULL CHECK (vt > 0),
            pid integer NOT NULL,
            opened_at timestamptz NOT NULL DEFAULT now()
        );
    END IF;
    -- In 2.0.0 this was an identity column. Some hosts change the owner of each member of the
    -- extension, one by one, and Postgres refuses that for a sequence that belongs to a column.
    IF EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = 'pgmq.channel'::regclass AND a.attname = 'number' AND a.attidentity <> ''
    ) THEN
        ALTER TABLE pgmq.channel ALTER COLUMN number DROP IDENTITY;
    END IF;
    IF to_regclass('pgmq.channel_number_seq') IS NULL THEN
        CREATE SEQUENCE pgmq.channel_number_seq AS integer;
        -- Open channels keep their numbers.
        PERFORM setval(
            'pgmq.channel_number_seq', coalesce(max(c.number), 0) + 1, false
        )
        FROM pgmq.channel AS c;
    END IF;
    IF to_regclass('pgmq.channel_slot') IS NULL THEN
        CREATE UNLOGGED TABLE pgmq.channel_slot (
            channel text NOT NULL REFERENCES pgmq.channel (channel) ON DELETE CASCADE,
            number integer NOT NULL,
            queue_name text NOT NULL,
            -- The lease that fills the slot.
            msg_id bigint,
            read_ct integer,
            -- In a filled slot, when the lease ends (unless it was extended) or a pause of the
            -- channel does. In a free slot, since when it is free: see _long_ago.
            free_at timestamptz NOT NULL,
            PRIMARY KEY (channel, number)
        );
        CREATE INDEX channel_slot_free_idx ON pgmq.channel_slot (queue_name, free_at);
        CREATE INDEX channel_slot_message_idx ON pgmq.channel_slot (queue_name, msg_id)
        WHERE msg_id IS NOT NULL;
    END IF;
    -- Set when a lease has ended by itself: the time since when no pushed message was answered.
    IF NOT EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = 'pgmq.channel'::regclass AND a.attname = 'silent_since'
    ) THEN
        ALTER TABLE pgmq.channel ADD COLUMN silent_since timestamptz;
    END IF;
    -- The role whose rights count; null in a channel that 2.0.0 opened.
    IF NOT EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = 'pgmq.channel'::regclass AND a.attname = 'opened_by'
    ) THEN
        ALTER TABLE pgmq.channel ADD COLUMN opened_by oid;
    END IF;
    -- Numbers what transactions have looked at: see _note_look.
    IF to_regclass('pgmq.channel_look') IS NULL THEN
        CREATE SEQUENCE pgmq.channel_look;
    END IF;
END
$$;
COMMENT ON TABLE pgmq.channel IS 'The push channels that sessions have opened.';
COMMENT ON TABLE pgmq.channel_slot IS 'The slots of push channels, each free or filled by a lease.

Each slot is a row of its own, so that nobody waits to fill one.';
