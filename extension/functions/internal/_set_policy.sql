-- The parts of set_policy() and alter_policy().
CREATE OR REPLACE FUNCTION pgmq._check_policy(policy pgmq.policy)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_given jsonb := to_jsonb(policy);
    v_name text;
BEGIN
    FOREACH v_name IN ARRAY ARRAY[
        'max_receives', 'max_in_flight', 'max_in_flight_per_group', 'rate_limit', 'rate_burst'
    ]
    LOOP
        IF (v_given ->> v_name)::integer < 1 THEN
            RAISE EXCEPTION '% must be at least 1: %', v_name, v_given ->> v_name
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Null means no limit.';
        END IF;
    END LOOP;
    FOREACH v_name IN ARRAY ARRAY[
        'retry_delay', 'retry_delay_max', 'message_ttl', 'archive_retention', 'dedup_window',
        'rate_interval', 'priority_ageing'
    ]
    LOOP
        IF (v_given ->> v_name)::interval NOT BETWEEN '0' AND '100 years'
            OR (v_given ->> v_name)::interval = '0' AND v_name NOT LIKE 'retry%'
        THEN
            RAISE EXCEPTION '% must be a positive interval of up to 100 years: %',
                v_name, v_given ->> v_name
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Null means off.';
        END IF;
    END LOOP;
    IF policy.retry_jitter NOT BETWEEN 0 AND 1 THEN
        RAISE EXCEPTION 'retry_jitter must be between 0 and 1: %', policy.retry_jitter
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'It is the part of the delay that is left to chance.';
    END IF;
    IF policy.retry_jitter > 0 AND policy.retry_delay IS NULL THEN
        RAISE EXCEPTION 'retry_jitter needs a retry_delay: %', policy.retry_jitter
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'It is the part of the delay that is left to chance.';
    END IF;
    IF policy.retry_delay_max < policy.retry_delay
        OR policy.retry_delay IS NULL AND policy.retry_delay_max IS NOT NULL
    THEN
        RAISE EXCEPTION 'retry_delay_max needs a retry_delay that is not longer: % and %',
            policy.retry_delay_max, coalesce(policy.retry_delay::text, 'null')
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'A delay is doubled from retry_delay up to retry_delay_max.';
    END IF;
    IF policy.rate_limit IS NULL
        AND (policy.rate_interval IS NOT NULL OR policy.rate_burst IS NOT NULL)
    THEN
        RAISE EXCEPTION 'rate_interval and rate_burst need a rate_limit: % and %',
            coalesce(policy.rate_interval::text, 'null'), coalesce(policy.rate_burst::text, 'null')
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'rate_limit is how many messages are read in a rate_interval.';
    END IF;
    IF policy.rate_burst * pgmq._duration(coalesce(policy.rate_interval, '1 second'))
        > policy.rate_limit * pgmq._duration('100 years')
    THEN
        RAISE EXCEPTION 'rate_burst is what comes in more than 100 years: %', policy.rate_burst
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'Set a smaller rate_burst, or a greater rate_limit.';
    END IF;
    IF policy.dedup_scope NOT IN ('window', 'pending') THEN
        RAISE EXCEPTION 'dedup_scope must be window or pending: %', policy.dedup_scope
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'With pending, a key is taken until its message has left the queue.';
    END IF;
    IF policy.priority_ageing IS NOT NULL AND NOT policy.priorities THEN
        RAISE EXCEPTION 'priority_ageing needs priorities: %', policy.priority_ageing
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'It is the head start that each step of priority stands for.';
    END IF;
    IF policy.priorities AND policy.max_in_flight_per_group IS NOT NULL THEN
        RAISE EXCEPTION 'priorities and max_in_flight_per_group exclude each other: %',
            policy.max_in_flight_per_group
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'With a limit by group, reads pass over groups in the order of msg_ids.';
    END IF;
    IF policy.dead_letter_queue IS NOT NULL
        AND policy.max_receives IS NULL AND policy.message_ttl IS NULL
    THEN
        RAISE EXCEPTION 'dead_letter_queue "%" would never get a message',
            policy.dead_letter_queue
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'Give max_receives or message_ttl as well.';
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._check_policy(pgmq.policy) IS 'Raise an error unless the values of a policy make sense.';

CREATE OR REPLACE FUNCTION pgmq._ensure_dead_letter_queue(queue_name text, dead_letter_queue text)
RETURNS text
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_table text := format('pgmq.%I', pgmq.format_table_name(dead_letter_queue, 'q'));
    v_name text;
    v_owner CONSTANT regrole := pgmq._owner(pgmq._queue_table(queue_name));
    v_other regrole;
BEGIN
    v_name := pgmq._lock_queue_name(dead_letter_queue);
    IF v_name IS NULL THEN
        PERFORM pgmq."create"(dead_letter_queue);
        v_name := dead_letter_queue;
    END IF;
    IF EXISTS (
        WITH RECURSIVE chain (name) AS (
            SELECT v_name
            UNION
            SELECT (SELECT p.dead_letter_queue FROM pgmq.policy AS p WHERE p.queue_name = c.name)
            FROM chain AS c
            WHERE c.name IS NOT NULL
        )
        SELECT FROM chain AS c WHERE c.name = _ensure_dead_letter_queue.queue_name
    )
    THEN
        RAISE EXCEPTION 'dead letters of queue "%" in queue "%" would come back to it',
            queue_name, v_name
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'Dead-letter queues must not form a circle.';
    END IF;
    -- The owner of the queue, not its readers, writes the dead letters there.
    IF NOT has_table_privilege(v_owner, v_table, 'INSERT') THEN
        RAISE EXCEPTION 'the owner of queue "%", %, may not insert into dead-letter queue "%"',
            queue_name, v_owner, v_name
            USING ERRCODE = 'insufficient_privilege',
                HINT = format('GRANT INSERT ON %s TO %s;', v_table, v_owner);
    END IF;
    v_other := pgmq._owner(v_table::regclass);
    IF pgmq._is_powerful(v_owner) AND NOT pg_has_role(v_other, v_owner, 'USAGE') THEN
        RAISE EXCEPTION 'dead-letter queue "%" is not safe for queue "%": it belongs to %',
            v_name, queue_name, v_other
            USING ERRCODE = 'insufficient_privilege',
                HINT = format(
                    'What its owner has put there would run with the rights of %s, the owner of the'
                    ' queue. Let one role own both.', v_owner
                );
    END IF;
    RETURN v_name;
END
$$;
COMMENT ON FUNCTION pgmq._ensure_dead_letter_queue(text, text) IS
'The proper name of a queue that is to take the dead letters of another.

The queue is created if it is missing, and locked against being dropped.';

CREATE OR REPLACE FUNCTION pgmq._lock_policy(queue_name text)
RETURNS pgmq.policy
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_policy pgmq.policy;
    v_name text;
BEGIN
    PERFORM pgmq._compiled('enqueue', queue_name);     -- an unknown queue is an error
    -- One call at a time: two at once could close a circle of dead-letter queues between them.
    PERFORM pg_advisory_xact_lock(hashtext('pgmq.policy'));
    v_name := pgmq._lock_queue(queue_name);
    v_policy := pgmq._policy_of(v_name);
    v_policy.queue_name := v_name;
    RETURN v_policy;
END
$$;
COMMENT ON FUNCTION pgmq._lock_policy(text) IS
'The policy of a queue, which nobody else changes until the transaction ends.';

CREATE OR REPLACE FUNCTION pgmq._replace_policy(policy pgmq.policy)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_none pgmq.policy;
BEGIN
    PERFORM pgmq._check_policy(policy);
    IF pgmq._is_stream(pgmq._queue_table(policy.queue_name)) AND pgmq._is_pending(policy) THEN
        RAISE EXCEPTION 'messages never leave stream "%": dedup_scope cannot be pending',
            policy.queue_name
            USING ERRCODE = 'feature_not_supported',
                HINT = 'Give a dedup_window: keys are taken for so long.';
    END IF;
    IF pgmq._is_stream(pgmq._queue_table(policy.queue_name)) AND to_jsonb(policy) - 'dedup_window'
        IS DISTINCT FROM to_jsonb(pgmq._policy_of(pgmq._any_queue())) - 'dedup_window'
            || jsonb_build_object('queue_name', policy.queue_name)
    THEN
        RAISE EXCEPTION 'stream "%" has no policy but dedup_window', policy.queue_name
            USING ERRCODE = 'feature_not_supported',
                HINT = 'Its groups have options: see create_group() and alter_group().';
    END IF;
    IF policy.dead_letter_queue IS NOT NULL THEN
        PERFORM pgmq._refuse_stream(policy.dead_letter_queue);
        policy.dead_letter_queue := pgmq._ensure_dead_letter_queue(
            policy.queue_name, policy.dead_letter_queue
        );
    END IF;
    DELETE FROM pgmq.policy AS p WHERE p.queue_name = policy.queue_name;
    v_none := pgmq._policy_of(policy.queue_name);
    v_none.queue_name := policy.queue_name;
    IF policy IS DISTINCT FROM v_none THEN
        INSERT INTO pgmq.policy SELECT (policy).*;
    END IF;
    PERFORM pgmq._lay_out_policy(policy);
    PERFORM pgmq._compile(policy.queue_name);
    PERFORM pgmq._wake(policy.queue_name);      -- limits may let more through than they did
END
$$;
COMMENT ON FUNCTION pgmq._replace_policy(pgmq.policy) IS
'Store the policy of a queue, which _lock_policy() has locked, and compile it into the queue.';
