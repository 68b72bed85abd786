CREATE OR REPLACE FUNCTION pgmq._policy_of(queue_name text)
RETURNS pgmq.policy
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_policy pgmq.policy;
BEGIN
    SELECT p.* INTO v_policy
    FROM pgmq.policy AS p
    WHERE lower(p.queue_name) = lower(_policy_of.queue_name);
    IF NOT FOUND THEN
        v_policy.queue_name := lower(queue_name);
        v_policy.retry_jitter := 0;
        v_policy.ack_archives := false;
    END IF;
    RETURN v_policy;
END
$$;
COMMENT ON FUNCTION pgmq._policy_of(text) IS
'The policy of a queue, with everything off where none is stored.';

-- What templates ask of a policy: one expression each, so that a call is inlined, and what the
-- policy leaves out is folded away.
CREATE OR REPLACE FUNCTION pgmq._expires_at(
    enqueued_at timestamptz,
    headers jsonb,
    message_ttl interval
)
RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    -- Whatever the header holds, it must not make the queue unreadable: what is no number counts
    -- for nothing.
    SELECT CASE
        WHEN message_ttl IS NULL THEN 'infinity'::timestamptz
        -- A dead letter keeps the header for the queue that it may go back to.
        WHEN jsonb_typeof(headers -> 'x-pgmq-ttl'::text) = 'number'
            AND NOT headers ? 'x-pgmq-dead-letter'::text
            THEN enqueued_at + pg_catalog.make_interval(
                secs => greatest(
                    0, least((headers ->> 'x-pgmq-ttl'::text)::numeric, 3e9)
                )::double precision
            )
        ELSE enqueued_at + message_ttl
    END
$$;
COMMENT ON FUNCTION pgmq._expires_at(timestamptz, jsonb, interval) IS
'When a message expires: by its own header x-pgmq-ttl (seconds) or by the queue''s message_ttl.

Infinity where the queue has none.';

CREATE OR REPLACE FUNCTION pgmq._is_dead(
    read_ct integer,
    enqueued_at timestamptz,
    headers jsonb,
    as_of timestamptz,
    max_receives integer,
    message_ttl interval
)
RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT (read_ct >= max_receives) IS TRUE
        OR message_ttl IS NOT NULL
        AND pgmq._expires_at(enqueued_at, headers, message_ttl) <= as_of
$$;
COMMENT ON FUNCTION pgmq._is_dead(integer, timestamptz, jsonb, timestamptz, integer, interval) IS
'Whether a message that is visible must not be handed out: received too often, or expired.';

CREATE OR REPLACE FUNCTION pgmq._retry_after(
    read_ct integer,
    retry_delay interval,
    retry_delay_max interval,
    retry_jitter real
)
RETURNS double precision
LANGUAGE sql VOLATILE PARALLEL SAFE
AS $$
    -- Doubled with each receipt after the first; the exponent is bounded only against overflow.
    SELECT least(
        extract(epoch FROM retry_delay_max)::double precision,
        extract(epoch FROM retry_delay)::double precision * CASE
            WHEN retry_delay_max IS NULL THEN 1
            ELSE power(2::double precision, least(read_ct - 1, 100)::double precision)
        END
    ) * ('1' - retry_jitter::double precision * random())
$$;
COMMENT ON FUNCTION pgmq._retry_after(integer, interval, interval, real) IS
'The seconds until a message that was received read_ct times is tried again.';

CREATE OR REPLACE FUNCTION pgmq._dead_letter(
    headers jsonb,
    queue_name text,
    msg_id bigint,
    read_ct integer,
    reason text,
    enqueued_at timestamptz
)
RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT pgmq._headers(headers) || pg_catalog.jsonb_build_object(
        'x-pgmq-dead-letter', pg_catalog.jsonb_build_object(
            'queue', queue_name,
            'msg_id', msg_id,
            'read_ct', read_ct,
            'reason', reason,
            'error', headers -> 'x-pgmq-error'::text,
            'enqueued_at', enqueued_at,
            'at', clock_timestamp()
        )
    )
$$;
COMMENT ON FUNCTION pgmq._dead_letter(jsonb, text, bigint, integer, text, timestamptz) IS
'The headers of a dead letter: those of the message, and x-pgmq-dead-letter, which says why.';

-- What set_policy() consists of.
CREATE OR REPLACE FUNCTION pgmq._check_policy(policy pgmq.policy)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_given jsonb := to_jsonb(policy);
    v_name text;
BEGIN
    FOREACH v_name IN ARRAY ARRAY['max_receives', 'max_in_flight'] LOOP
        IF (v_given ->> v_name)::integer < 1 THEN
            RAISE EXCEPTION '% must be at least 1: %', v_name, v_given ->> v_name
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Null means no limit.';
        END IF;
    END LOOP;
    FOREACH v_name IN ARRAY ARRAY[
        'retry_delay', 'retry_delay_max', 'message_ttl', 'archive_retention', 'dedup_window'
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

CREATE OR REPLACE FUNCTION pgmq._dead_letter_queue(queue_name text, dead_letter_queue text)
RETURNS text
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_table text := format('pgmq.%I', pgmq.format_table_name(dead_letter_queue, 'q'));
    v_name text;
    v_owner oid;
    v_other oid;
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
            SELECT p.dead_letter_queue
            FROM chain AS c
            INNER JOIN pgmq.policy AS p ON c.name = p.queue_name
            WHERE p.dead_letter_queue IS NOT NULL
        )
        SELECT FROM chain AS c WHERE c.name = _dead_letter_queue.queue_name
    )
    THEN
        RAISE EXCEPTION 'dead letters of queue "%" in queue "%" would come back to it',
            queue_name, v_name
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'Dead-letter queues must not form a circle.';
    END IF;
    -- The owner of the queue, not whoever reads it, puts the dead letters there.
    v_owner := (
        SELECT c.relowner FROM pg_class AS c
        WHERE c.oid = format('pgmq.%I', pgmq.format_table_name(queue_name, 'q'))::regclass
    );
    IF NOT has_table_privilege(v_owner, v_table, 'INSERT') THEN
        RAISE EXCEPTION 'the owner of queue "%", %, may not insert into dead-letter queue "%"',
            queue_name, v_owner::regrole, v_name
            USING ERRCODE = 'insufficient_privilege',
                HINT = format('GRANT INSERT ON %s TO %s;', v_table, v_owner::regrole);
    END IF;
    v_other := (SELECT c.relowner FROM pg_class AS c WHERE c.oid = v_table::regclass);
    IF pgmq._is_powerful(v_owner) AND NOT pg_has_role(v_other, v_owner, 'USAGE') THEN
        RAISE EXCEPTION 'dead-letter queue "%" is not safe for queue "%": it belongs to %',
            v_name, queue_name, v_other::regrole
            USING ERRCODE = 'insufficient_privilege',
                HINT = format(
                    'What its owner has put there would run with the rights of %s, the owner of the'
                    ' queue. Let one role own both.', v_owner::regrole
                );
    END IF;
    RETURN v_name;
END
$$;
COMMENT ON FUNCTION pgmq._dead_letter_queue(text, text) IS
'The proper name of a queue that is to take the dead letters of another.

It is created if missing, and locked against being dropped.';

CREATE OR REPLACE FUNCTION pgmq._lay_out_policy(policy pgmq.policy)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
    v_queue text := pgmq.format_table_name(policy.queue_name, 'q');
    v_in_flight text := 'in_flight_idx_' || pgmq._suffix(policy.queue_name);
    v_dedup text := 'dedup_' || pgmq._suffix(policy.queue_name);
BEGIN
    -- Leases are counted by it. What was never read, or given back, is not one.
    IF policy.max_in_flight IS NOT NULL AND to_regclass(format('pgmq.%I', v_in_flight)) IS NULL THEN
        EXECUTE format(
            'CREATE INDEX %I ON pgmq.%I (vt) WHERE last_read_at IS NOT NULL', v_in_flight, v_queue
        );
    ELSIF policy.max_in_flight IS NULL AND to_regclass(format('pgmq.%I', v_in_flight)) IS NOT NULL
        -- Else it is left for the next change.
        AND NOT pgmq._holds_up_writers(format('pgmq.%I', v_queue))
    THEN
        EXECUTE format('DROP INDEX pgmq.%I', v_in_flight);
    END IF;

    -- The keys of the messages that were sent; they outlive these. A crash that empties the queue
    -- must empty them too.
    IF to_regclass(format('pgmq.%I', v_dedup)) IS NOT NULL THEN
        IF policy.dedup_window IS NULL THEN
            -- The table stays, or this would wait for open senders, and new ones for this. What
            -- such a sender holds is left.
            EXECUTE format(
                $dml$
                DELETE FROM pgmq.%1$I AS d
                WHERE d.ctid = ANY (ARRAY(SELECT t.ctid FROM pgmq.%1$I AS t FOR UPDATE SKIP LOCKED))
                $dml$,
                v_dedup
            );
        END IF;
    ELSIF policy.dedup_window IS NOT NULL THEN
        EXECUTE format(
            $ddl$
            CREATE %s TABLE pgmq.%I (
                dedup_key text COLLATE "C" PRIMARY KEY,
                msg_id bigint,      -- null until the message is stored
                sent_at timestamptz NOT NULL
            )
            $ddl$,
            CASE WHEN (
                SELECT c.relpersistence FROM pg_class AS c
                WHERE c.oid = format('pgmq.%I', v_queue)::regclass
            ) = 'u' THEN 'UNLOGGED' END,
            v_dedup
        );
        EXECUTE format(
            'CREATE INDEX %I ON pgmq.%I (sent_at)',
            'sent_at_idx_' || pgmq._suffix(policy.queue_name), v_dedup
        );
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._lay_out_policy(pgmq.policy) IS
'Give a queue the relations that its policy needs, and take away the others.';
