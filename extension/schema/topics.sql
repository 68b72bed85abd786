DO $$
BEGIN
    IF to_regclass('pgmq.topic_bindings') IS NULL THEN
        CREATE TABLE pgmq.topic_bindings (
            pattern text NOT NULL,
            queue_name text NOT NULL
            CONSTRAINT topic_bindings_meta_queue_name_fk
            REFERENCES pgmq.meta (queue_name) ON DELETE CASCADE,
            bound_at timestamptz NOT NULL DEFAULT now(),
            compiled_regex text GENERATED ALWAYS AS (
                '^' || replace(
                    replace(
                        regexp_replace(pattern, '[].+?{}()|[\\^$]', '\\\&', 'g'), '*', '[^.]+'
                    ),
                    '#', '.*'
                ) || '$'
            ) STORED,
            CONSTRAINT topic_bindings_unique_pattern_queue UNIQUE (pattern, queue_name)
        );
    END IF;
    BEGIN
        PERFORM pg_extension_config_dump('pgmq.topic_bindings', '');
    EXCEPTION WHEN feature_not_supported OR object_not_in_prerequisite_state THEN
        NULL;
    END;
END
$$;
-- What a routing key must begin with to match; for a pattern that begins with a wildcard, what it
-- must end with, marked by a star. pgmq._matching_topics() searches by the same expression.
CREATE INDEX IF NOT EXISTS topic_bindings_literal_idx ON pgmq.topic_bindings ((
    CASE
        WHEN pattern ~ '^[*#]' THEN '*' || substring(pattern, '[^*#]*$')
        ELSE substring(pattern, '^[^*#]*')
    END COLLATE "C"
));
-- Upstream's, which a search by that does not use.
DROP INDEX IF EXISTS pgmq.idx_topic_bindings_covering;
COMMENT ON TABLE pgmq.topic_bindings IS 'Which queues pgmq.send_topic() sends to: one row for each pattern of each queue.';
