CREATE OR REPLACE FUNCTION pgmq._policy_of(queue_name text)
RETURNS pgmq.policy
LANGUAGE plpgsql STABLE SECURITY DEFINER
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
        v_policy.priorities := false;
    END IF;
    RETURN v_policy;
END
$$;
COMMENT ON FUNCTION pgmq._policy_of(text) IS
'The policy of a queue, with everything off where none is stored.';

CREATE OR REPLACE FUNCTION pgmq._pause_of(queue_name text)
RETURNS pgmq.paused
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT
        min(p.queue_name), coalesce(bool_or(p.reads), false), coalesce(bool_or(p.sends), false),
        min(p.paused_at)
    FROM pgmq.paused AS p
    WHERE lower(p.queue_name) = lower(_pause_of.queue_name)
$$;
COMMENT ON FUNCTION pgmq._pause_of(text) IS
'What is paused of a queue; the name and the time are null where nothing is.';

CREATE OR REPLACE FUNCTION pgmq._is_pending(policy pgmq.policy)
RETURNS boolean
LANGUAGE sql IMMUTABLE
AS $$
    SELECT coalesce(policy.dedup_scope = 'pending', false)
$$;
COMMENT ON FUNCTION pgmq._is_pending(pgmq.policy) IS
'Whether a queue''s deduplication keys stay taken until their messages have left the queue.';

-- What templates ask of a policy. Each is one expression, so that a call is inlined, and parts that
-- the policy does not use are folded away.
CREATE OR REPLACE FUNCTION pgmq._expires_at(
    enqueued_at timestamptz,
    headers jsonb,
    message_ttl interval
)
RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    -- No header may make the queue unreadable. So a value that is no number is ignored, a number of
    -- more than 95 years counts as 95 years (the time would be out of range), and what is less than
    -- a microsecond is rounded (it may be less than double precision knows).
    SELECT CASE
        WHEN message_ttl IS NULL THEN 'infinity'::timestamptz
        -- A dead letter keeps the header for the queue that it may go back to.
        WHEN jsonb_typeof(headers -> 'x-pgmq-ttl'::text) = 'number'
            AND NOT headers ? 'x-pgmq-dead-letter'::text
            THEN enqueued_at + pg_catalog.make_interval(
                secs => pg_catalog.round(
                    greatest(0, least((headers ->> 'x-pgmq-ttl'::text)::numeric, 3e9)), 6
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

CREATE OR REPLACE FUNCTION pgmq._is_passing(code text)
RETURNS boolean
LANGUAGE sql IMMUTABLE
AS $$
    SELECT code ~ '^(40|53|57|58)|^55P03$'
$$;
COMMENT ON FUNCTION pgmq._is_passing(text) IS
'Whether an error comes of the moment, rather than of the dead letter that could not be stored.

These are conflicts, a lack of resources, timeouts of the caller, and shutdowns.';

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
