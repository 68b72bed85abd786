DO $$
BEGIN
    -- What sessions have opened: nothing of it is worth keeping over a crash, which ends them all.
    IF to_regclass('pgmq.channel') IS NULL THEN
        CREATE UNLOGGED TABLE pgmq.channel (
            channel text PRIMARY KEY,
            number integer NOT NULL UNIQUE,
            queue_name text NOT NULL REFERENCES pgmq.meta (queue_name) ON DELETE CASCADE,
            maximum_messages integer NOT NULL CHECK (maximum_messages > 0),
            vt integer NOT NULL CHECK (vt > 0),
            pid integer NOT NULL,
            opened_at timestamptz NOT NULL DEFAULT now()
        );
    END IF;
    -- 2.0.0 had an identity column. But hosts give each member of the extension another owner, one
    -- after the other, which is refused for a sequence that belongs to a column.
    IF EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = 'pgmq.channel'::regclass AND a.attname = 'number' AND a.attidentity <> ''
    ) THEN
        ALTER TABLE pgmq.channel ALTER COLUMN number DROP IDENTITY;
    END IF;
    IF to_regclass('pgmq.channel_number_seq') IS NULL THEN
        CREATE SEQUENCE pgmq.channel_number_seq AS integer;
        -- The channels that are open keep their numbers.
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
            -- When the lease ends, unless that was extended, or a pause of the channel; of a free
            -- slot, since when it is, as _long_ago has it.
            free_at timestamptz NOT NULL,
            PRIMARY KEY (channel, number)
        );
        CREATE INDEX channel_slot_free_idx ON pgmq.channel_slot (queue_name, free_at);
        CREATE INDEX channel_slot_message_idx ON pgmq.channel_slot (queue_name, msg_id)
        WHERE msg_id IS NOT NULL;
    END IF;
    -- Since when nothing that was pushed has been answered, where a lease has ended by itself.
    IF NOT EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = 'pgmq.channel'::regclass AND a.attname = 'silent_since'
    ) THEN
        ALTER TABLE pgmq.channel ADD COLUMN silent_since timestamptz;
    END IF;
    -- What a transaction has looked at: see _note_look.
    IF to_regclass('pgmq.channel_look') IS NULL THEN
        CREATE SEQUENCE pgmq.channel_look;
    END IF;
END
$$;
COMMENT ON TABLE pgmq.channel IS 'The push channels that sessions have opened.';
COMMENT ON TABLE pgmq.channel_slot IS 'The slots of push channels, each free or filled by a lease.

A row for each, so that filling one waits for nobody.';
