DO $$
BEGIN
    IF to_regclass('pgmq.exchange') IS NULL THEN
        CREATE TABLE pgmq.exchange (
            exchange_name text PRIMARY KEY
            -- Not BETWEEN, which a dump restores as another expression.
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
            exchange_name text NOT NULL
            REFERENCES pgmq.exchange (exchange_name) ON DELETE CASCADE,
            queue_name text REFERENCES pgmq.meta (queue_name) ON DELETE CASCADE,
            channel text CHECK (octet_length(channel) BETWEEN 1 AND 63),
            pattern text NOT NULL CHECK (octet_length(pattern) <= 255),
            kind text NOT NULL CHECK (kind IN ('topic', 'regex', 'direct', 'fanout')),
            bound_at timestamptz NOT NULL DEFAULT now(),
            -- Every word has a dot behind it, which makes the index a tree of words: what begins
            -- with "a.b." are the patterns that begin with these two words and no others. All in
            -- one column: comparing several for each entry of a page costs twice as much.
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
    -- The replica identity that a publication FOR ALL TABLES needs, or no row can be deleted: what
    -- tells rows apart otherwise are nulls and what is generated.
    IF NOT EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = 'pgmq.binding'::regclass AND a.attname = 'id'
    )
    THEN
        ALTER TABLE pgmq.binding ADD COLUMN id uuid PRIMARY KEY DEFAULT gen_random_uuid();
    END IF;
END
$$;
COMMENT ON TABLE pgmq.exchange IS 'One row for each exchange.';
COMMENT ON TABLE pgmq.binding IS 'Where pgmq.publish() sends what it is given.

One row for each pattern of each queue or channel bound to an exchange.';
