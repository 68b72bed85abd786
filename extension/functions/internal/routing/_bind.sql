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
COMMENT ON FUNCTION pgmq._raise_missing_exchange(text) IS
'Raise the error for an unknown exchange.';

CREATE OR REPLACE FUNCTION pgmq._merge_wildcards(pattern text)
RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Wildcards in a row with a # among them mean "so many words or more": the stars, and one #.
    WHILE pattern ~ '#[.][*#]' LOOP
        pattern := regexp_replace(
            regexp_replace(pattern, '#([.]#)+', '#', 'g'), '#[.]([*]([.][*])*)', E'\\1.#', 'g'
        );
    END LOOP;
    RETURN pattern;
END
$$;
COMMENT ON FUNCTION pgmq._merge_wildcards(text) IS
'The shortest topic pattern with the same meaning: a.#.*.# becomes a.*.#.';

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
'The pattern as it is stored; raise an error for an invalid one, or for an unknown kind.';

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
    -- The queue is there, for its lock is held; so is the exchange's, until this has committed.
    PERFORM pg_catalog.pg_advisory_xact_lock_shared(pgmq._exchange_lock(exchange_name));
    IF NOT pgmq._is_exchange(exchange_name) THEN
        PERFORM pgmq._raise_missing_exchange(exchange_name);
    END IF;
    INSERT INTO pgmq.binding (exchange_name, queue_name, channel, pattern, kind)
    VALUES (_bind.exchange_name, _bind.queue_name, _bind.channel, v_pattern, _bind.kind)
    ON CONFLICT DO NOTHING;
END
$$;
COMMENT ON FUNCTION pgmq._bind(text, text, text, text, text) IS 'Bind a queue, whose lock is held, or a channel to an exchange.';
