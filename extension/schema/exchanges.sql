DO $$
BEGIN
    IF to_regclass('pgmq.exchange') IS NULL THEN
        CREATE TABLE pgmq.exchange (
            exchange_name text PRIMARY KEY
            -- Not BETWEEN: a dump restores that as another expression.
            CHECK (
                octet_length(exchange_name) >= 1
                AND octet_length(exchange_name) <= 255
                AND exchange_name !~ E'\n'
            ),
            created_at timestamptz NOT NULL DEFAULT now()
        );
    END IF;
    IF to_regclass('pgmq.binding') IS NULL THEN
        CREATE TABLE pgmq.binding (
            exchange_name text NOT NULL,
            queue_name text,
            channel text CHECK (octet_length(channel) BETWEEN 1 AND 63),
            pattern text NOT NULL CHECK (octet_length(pattern) <= 255),
            kind text NOT NULL CHECK (kind IN ('topic', 'regex', 'direct', 'fanout')),
            bound_at timestamptz NOT NULL DEFAULT now(),
            -- A dot ends every word. That makes the index a tree of words: the entries that begin
            -- with "a.b." are exactly the patterns that begin with these two words. All is in one
            -- column: comparing several for each entry of a page costs twice as much.
            path text COLLATE "C" NOT NULL GENERATED ALWAYS AS (
                exchange_name || E'\n' || kind || E'\n'
                || CASE WHEN pattern = '' THEN '' ELSE pattern || '.' END
            ) STORED,
            CHECK ((queue_name IS NULL) <> (channel IS NULL))
        );
        CREATE UNIQUE INDEX binding_key ON pgmq.binding (
            path, coalesce(queue_name, ''), coalesce(channel, '')
        );
        CREATE INDEX binding_queue_name_idx ON pgmq.binding (queue_name);
    END IF;
    -- A publication FOR ALL TABLES needs a replica identity, or no row can be deleted. The columns
    -- of the other key cannot be one: they are nullable or generated.
    IF NOT EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = 'pgmq.binding'::regclass AND a.attname = 'id'
    )
    THEN
        ALTER TABLE pgmq.binding ADD COLUMN id uuid PRIMARY KEY DEFAULT gen_random_uuid();
    END IF;
END
$$;
COMMENT ON TABLE pgmq.exchange IS 'The exchanges, one row for each.';
COMMENT ON TABLE pgmq.binding IS 'The queues and channels that pgmq.publish() sends to.

One row for each pattern of each queue or channel bound to an exchange.';
