CREATE OR REPLACE FUNCTION pgmq._check_length(argument text, value text)
RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    IF coalesce(value, '') = '' THEN
        RAISE EXCEPTION '% cannot be NULL or empty', argument;
    END IF;
    IF length(value) > 255 THEN
        RAISE EXCEPTION '% length cannot exceed 255 characters, got % characters',
            argument, length(value);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._check_length(text, text) IS 'Raise an error unless a topic''s key or pattern has 1 to 255 characters.';

CREATE OR REPLACE FUNCTION pgmq._check_dots(argument text, value text)
RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    IF value ~ '^[.]' THEN
        RAISE EXCEPTION '% cannot start with a dot. Got: %', argument, value;
    END IF;
    IF value ~ '[.]$' THEN
        RAISE EXCEPTION '% cannot end with a dot. Got: %', argument, value;
    END IF;
    IF value ~ '[.][.]' THEN
        RAISE EXCEPTION '% cannot contain consecutive dots. Got: %', argument, value;
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._check_dots(text, text) IS
'Raise an error if a word of a topic''s key or pattern is empty.';

CREATE OR REPLACE FUNCTION pgmq._check_bound_queue(queue_name text)
RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    IF coalesce(queue_name, '') = '' THEN
        RAISE EXCEPTION 'queue_name cannot be NULL or empty';
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._check_bound_queue(text) IS
'Raise the error of the functions of topics for a null or empty queue name.';

CREATE OR REPLACE FUNCTION pgmq._matching_topics(routing_key text)
RETURNS SETOF pgmq.topic_bindings
LANGUAGE sql STABLE
AS $$
    SELECT b.*
    FROM pgmq.topic_bindings AS b
    WHERE CASE
            WHEN b.pattern ~ '^[*#]' THEN '*' || substring(b.pattern, '[^*#]*$')
            ELSE substring(b.pattern, '^[^*#]*')
        END COLLATE "C" = ANY (ARRAY(
            SELECT pg_catalog.unnest(ARRAY[left($1, n), '*' || right($1, n)])
            FROM generate_series(0, length($1)) AS n
        ))
        -- Compiling a regular expression is expensive: do it only for patterns that may match.
        AND CASE WHEN $1 LIKE pg_catalog.translate(b.pattern, E'*#\\', '%%%') THEN $1 ~ b.compiled_regex END
$$;
COMMENT ON FUNCTION pgmq._matching_topics(text) IS 'The bindings of bind_topic that a routing key matches.';

CREATE OR REPLACE FUNCTION pgmq._topic_queues(routing_key text)
RETURNS text[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
BEGIN
    RETURN ARRAY(
        SELECT DISTINCT b.queue_name COLLATE "C"
        FROM pgmq._matching_topics(routing_key) AS b
        ORDER BY 1
    );
END
$$;
COMMENT ON FUNCTION pgmq._topic_queues(text) IS 'The queues that bind_topic has bound with a pattern that matches, in the order of their names.';
