-- Names and patterns.
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
COMMENT ON FUNCTION pgmq._check_dots(text, text) IS 'Raise an error when a word of a topic''s key or pattern is empty.';

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
COMMENT ON FUNCTION pgmq._check_bound_queue(text) IS 'Raise the error that a null or empty queue name deserves from the functions of topics.';

-- Topics.
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
        -- Compiling a regular expression is the dear part, so only for what it may well match.
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

CREATE OR REPLACE FUNCTION pgmq._fan_out(
    queue_names text[],
    msg jsonb,
    headers jsonb,
    delay integer
)
RETURNS integer
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    IF delay IS NULL THEN
        PERFORM pgmq._raise_null('delay', 'Give seconds or a time, or leave delay out.');
    END IF;
    IF pg_catalog.cardinality(queue_names) = 0 THEN
        RETURN 0;
    END IF;
    IF pgmq._can_be_used() THEN
        PERFORM pgmq._check_routes(queue_names);
    END IF;
    -- One statement for all: most of what a copy costs is parsing the call.
    EXECUTE (
        SELECT pg_catalog.format(
            'SELECT ARRAY[%s]',
            pg_catalog.string_agg(
                pg_catalog.format('pgmq.%I($1, $2, $3)', pgmq._compiled('enqueue', u.queue_name)), ', '
                ORDER BY u.place
            )
        )
        FROM pg_catalog.unnest(queue_names) WITH ORDINALITY AS u (queue_name, place)
    ) USING msg, headers, clock_timestamp() + pg_catalog.make_interval(secs => delay);
    RETURN pg_catalog.cardinality(queue_names);
END
$$;
COMMENT ON FUNCTION pgmq._fan_out(text[], jsonb, jsonb, integer) IS 'Send a message to each of several queues, and return their number.';

-- Exchanges.
CREATE OR REPLACE FUNCTION pgmq._raise_missing_exchange(exchange_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    IF exchange_name IS NULL THEN
        PERFORM pgmq._raise_null('exchange name', 'The table pgmq.exchange has the names there are.');
    END IF;
    RAISE EXCEPTION 'exchange "%" does not exist', exchange_name
        USING ERRCODE = 'undefined_object',
            HINT = pg_catalog.format(
                'Create it with SELECT pgmq.create_exchange(%L).', exchange_name
            );
END
$$;
COMMENT ON FUNCTION pgmq._raise_missing_exchange(text) IS 'Raise the error that an unknown exchange deserves.';

CREATE OR REPLACE FUNCTION pgmq._merge_wildcards(pattern text)
RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Wildcards in a row among which is a # stand for so many words or more: one # behind the *.
    WHILE pattern ~ '#[.][*#]' LOOP
        pattern := regexp_replace(
            regexp_replace(pattern, '#([.]#)+', '#', 'g'), '#[.]([*]([.][*])*)', '\1.#', 'g'
        );
    END LOOP;
    RETURN pattern;
END
$$;
COMMENT ON FUNCTION pgmq._merge_wildcards(text) IS
'The shortest topic pattern that matches the same: a.#.*.# is a.*.#.';

CREATE OR REPLACE FUNCTION pgmq._check_pattern(pattern text, kind text)
RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    IF kind IS NULL OR kind NOT IN ('topic', 'regex', 'direct', 'fanout') THEN
        RAISE EXCEPTION 'unknown kind of binding: %', coalesce(kind, 'null')
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'The kinds are topic, regex, direct and fanout.';
    END IF;
    IF kind = 'fanout' AND coalesce(pattern, '') <> '' THEN
        RAISE EXCEPTION 'a fanout binding has no pattern: "%"', pattern
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give null or an empty string.';
    END IF;
    IF pattern IS NULL AND kind <> 'fanout' THEN
        PERFORM pgmq._raise_null('pattern', 'Only a binding of kind fanout has none.');
    END IF;
    IF octet_length(pattern) > 255 THEN
        RAISE EXCEPTION 'pattern must have up to 255 bytes, not %', octet_length(pattern)
            USING ERRCODE = 'string_data_right_truncation',
                HINT = 'Several bindings of one queue can share the work.';
    END IF;
    IF kind = 'topic' AND pattern ~ '[^.][*#]|[*#][^.]' THEN
        RAISE EXCEPTION 'a wildcard must be a word of its own: "%"', pattern
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'Separate * and # by dots from what is beside them, or use kind regex.';
    END IF;
    IF kind = 'regex' THEN
        -- Raises invalid_regular_expression now, not when something is published.
        PERFORM '' ~ pattern;
    END IF;
    RETURN CASE
        WHEN kind = 'topic' THEN pgmq._merge_wildcards(pattern)
        ELSE coalesce(pattern, '')
    END;
END
$$;
COMMENT ON FUNCTION pgmq._check_pattern(text, text) IS
'The pattern as it is stored; raise the error that an invalid one, or an unknown kind, deserves.';

CREATE OR REPLACE FUNCTION pgmq._bind(
    exchange_name text,
    queue_name text,
    channel text,
    pattern text,
    kind text
)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_pattern text := pgmq._check_pattern(pattern, kind);
BEGIN
    IF exchange_name IS NULL THEN
        PERFORM pgmq._raise_missing_exchange(exchange_name);
    END IF;
    INSERT INTO pgmq.binding (exchange_name, queue_name, channel, pattern, kind)
    VALUES (_bind.exchange_name, _bind.queue_name, _bind.channel, v_pattern, _bind.kind)
    ON CONFLICT DO NOTHING;
EXCEPTION
    -- The queue is there, for its lock is held.
    WHEN foreign_key_violation THEN
        PERFORM pgmq._raise_missing_exchange(exchange_name);
END
$$;
COMMENT ON FUNCTION pgmq._bind(text, text, text, text, text) IS 'Bind a queue, whose lock is held, or a channel to an exchange.';

CREATE OR REPLACE FUNCTION pgmq._route(
    exchange_name text,
    routing_key text,
    OUT queues text[],
    OUT channels text[]
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_words text[] := string_to_array(routing_key, '.');
    v_count integer := cardinality(v_words);
    v_key text := CASE WHEN routing_key = '' THEN '' ELSE routing_key || '.' END;
BEGIN
    -- The topics are walked word by word, as a tree of which each node is a probe of the index:
    -- only what the key leads to is looked at, however many bindings there are. A node has the
    -- numbers of words that what leads to it may have used up. A step goes to the next word or to
    -- *, using up a word, or to #, which uses up any number.
    WITH RECURSIVE walk (path, used) AS (
        SELECT format(E'%s\ntopic\n', _route.exchange_name) COLLATE "C", ARRAY[0]
        UNION ALL
        SELECT
            w.path || n.word || '.',
            CASE
                WHEN n.kind = '#' THEN ARRAY(SELECT generate_series(w.used[1], v_count))
                ELSE ARRAY(
                    SELECT u + 1
                    FROM unnest(w.used) AS u
                    WHERE u < v_count AND (n.kind = '*' OR v_words[u + 1] = n.word)
                )
            END
        FROM walk AS w
        CROSS JOIN LATERAL (
            SELECT
                unnest(ARRAY['', '*', '#']) AS kind,
                unnest(ARRAY[v_words[w.used[1] + 1], '*', '#']) AS word
            UNION ALL
            SELECT DISTINCT '', v_words[u + 1]
            FROM unnest(w.used[2:]) AS u
            WHERE cardinality(w.used) > 1 AND v_words[u + 1] <> v_words[w.used[1] + 1]
        ) AS n
        WHERE (n.kind = '#' OR w.used[1] < v_count)
            AND EXISTS (
                SELECT FROM pgmq.binding AS b
                WHERE b.path >= w.path || n.word || '.' AND b.path < w.path || n.word || '/'
                OFFSET 0    -- or a plan made while there were few bindings would join all of them
            )
    )
    SELECT
        array_agg(DISTINCT m.queue_name COLLATE "C") FILTER (WHERE m.queue_name IS NOT NULL),
        array_agg(DISTINCT m.channel COLLATE "C") FILTER (WHERE m.channel IS NOT NULL)
    INTO queues, channels
    FROM (
        SELECT b.queue_name, b.channel
        FROM (
            SELECT w.path FROM walk AS w WHERE v_count = ANY (w.used)
            UNION ALL
            SELECT format(E'%s\ndirect\n%s', _route.exchange_name, v_key)
            UNION ALL
            SELECT format(E'%s\nfanout\n', _route.exchange_name)
        ) AS p
        -- OFFSET 0: a plan made while there were few bindings must not join all of them.
        CROSS JOIN LATERAL (
            SELECT b.queue_name, b.channel FROM pgmq.binding AS b WHERE b.path = p.path OFFSET 0
        ) AS b
        UNION ALL
        SELECT b.queue_name, b.channel
        FROM pgmq.binding AS b
        WHERE b.path >= format(E'%s\nregex\n', _route.exchange_name)
            -- The character after a line break.
            AND b.path < format(E'%s\nregex\013', _route.exchange_name)
            AND routing_key ~ b.pattern
    ) AS m;
END
$$;
COMMENT ON FUNCTION pgmq._route(text, text) IS
'The queues and channels that a routing key leads to, each once, in the order of their names.

Null for none.';

CREATE OR REPLACE FUNCTION pgmq._payload(about jsonb, msg jsonb, headers jsonb)
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_content jsonb;
    v_payload text;
BEGIN
    -- The last one always fits.
    FOREACH v_content IN ARRAY ARRAY[
        jsonb_build_object('message', msg, 'headers', headers),
        jsonb_build_object('message_omitted', true, 'headers', headers),
        jsonb_build_object('message', msg, 'headers_omitted', true),
        '{"message_omitted": true, "headers_omitted": true}'
    ] LOOP
        v_payload := about || v_content;
        -- What pg_notify takes.
        EXIT WHEN octet_length(v_payload) < 8000;
    END LOOP;
    RETURN v_payload;
END
$$;
COMMENT ON FUNCTION pgmq._payload(jsonb, jsonb, jsonb) IS
'What NOTIFY carries of a message: JSON, without the message or the headers where they do not fit.';
