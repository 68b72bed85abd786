DO $$
BEGIN
    IF to_regclass('pgmq.topic_bindings') IS NULL THEN
        CREATE TABLE pgmq.topic_bindings (
            pattern text NOT NULL,
            queue_name text NOT NULL,
            bound_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT topic_bindings_unique_pattern_queue UNIQUE (pattern, queue_name)
        );
    END IF;
    -- Upstream's index: the search uses the index below instead.
    IF to_regclass('pgmq.idx_topic_bindings_covering') IS NOT NULL THEN
        DROP INDEX pgmq.idx_topic_bindings_covering;
    END IF;
    -- Upstream's column has another expression with the same meaning. If a view depends on the
    -- column, the column stays as it is.
    IF NOT EXISTS (
        SELECT FROM pg_attrdef AS d
        WHERE d.adrelid = 'pgmq.topic_bindings'::regclass
            AND strpos(pg_get_expr(d.adbin, d.adrelid), '\\\&') > 0
    )
    THEN
        BEGIN
            IF EXISTS (
                SELECT FROM pg_attribute AS a
                WHERE a.attrelid = 'pgmq.topic_bindings'::regclass AND a.attname = 'compiled_regex'
            )
            THEN
                ALTER TABLE pgmq.topic_bindings DROP COLUMN compiled_regex;
            END IF;
            ALTER TABLE pgmq.topic_bindings
            ADD COLUMN compiled_regex text GENERATED ALWAYS AS (
                '^' || replace(
                    replace(
                        regexp_replace(pattern, '[].+?{}()|[\\^$]', '\\\&', 'g'), '*', '[^.]+'
                    ),
                    '#', '.*'
                ) || '$'
            ) STORED;
        EXCEPTION WHEN dependent_objects_still_exist THEN
            NULL;
        END;
    END IF;
    -- A publication FOR ALL TABLES needs this, or no row can be deleted.
    IF (SELECT c.relreplident FROM pg_class AS c WHERE c.oid = 'pgmq.topic_bindings'::regclass) = 'd'
    THEN
        ALTER TABLE pgmq.topic_bindings
        REPLICA IDENTITY USING INDEX topic_bindings_unique_pattern_queue;
    END IF;
END
$$;
-- The literal text that a matching routing key must begin with. For a pattern that begins with a
-- wildcard: a star, and the text that a matching key must end with. pgmq._matching_topics() uses
-- the same expression to search.
DO $$
BEGIN
    IF to_regclass('pgmq.topic_bindings_literal_idx') IS NULL THEN
        CREATE INDEX topic_bindings_literal_idx ON pgmq.topic_bindings ((
            CASE
                WHEN pattern ~ '^[*#]' THEN '*' || substring(pattern, '[^*#]*$')
                ELSE substring(pattern, '^[^*#]*')
            END COLLATE "C"
        ));
    END IF;
END
$$;
COMMENT ON TABLE pgmq.topic_bindings IS 'Which queues pgmq.send_topic() sends to: one row for each pattern of each queue.';
