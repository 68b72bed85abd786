CREATE OR REPLACE FUNCTION pgmq.send(queue_name text, msg jsonb)
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 1
AS $$
BEGIN
    IF pgmq._pinned(queue_name) THEN
        RETURN NEXT pgmq._pinned_enqueue(queue_name, msg, null::jsonb, '-infinity'::timestamptz);
    ELSE
        RETURN QUERY EXECUTE pg_catalog.format(
            'SELECT pgmq.%I($1, $2, $3)', pgmq._compiled('enqueue', queue_name)
        ) USING msg, null::jsonb, '-infinity'::timestamptz;
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq.send(text, jsonb) IS
'Send a message and return its msg_id.

The message becomes visible when the transaction commits. msg may be null. Raises undefined_table
for an unknown queue.';

CREATE OR REPLACE FUNCTION pgmq.send(queue_name text, msg jsonb, headers jsonb)
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 1
AS $$
BEGIN
    IF pgmq._pinned(queue_name) THEN
        RETURN NEXT pgmq._pinned_enqueue(queue_name, msg, headers, '-infinity'::timestamptz);
    ELSE
        RETURN QUERY EXECUTE pg_catalog.format(
            'SELECT pgmq.%I($1, $2, $3)', pgmq._compiled('enqueue', queue_name)
        ) USING msg, headers, '-infinity'::timestamptz;
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq.send(text, jsonb, jsonb) IS
'Send a message with headers (null for none) and return its msg_id.';

CREATE OR REPLACE FUNCTION pgmq.send(queue_name text, msg jsonb, delay integer)
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 1
AS $$
BEGIN
    IF pgmq._pinned(queue_name) THEN
        RETURN NEXT pgmq._pinned_enqueue(queue_name, msg, null::jsonb, pgmq._delayed(delay));
    ELSE
        RETURN QUERY EXECUTE pg_catalog.format(
            'SELECT pgmq.%I($1, $2, $3)', pgmq._compiled('enqueue', queue_name)
        ) USING msg, null::jsonb, pgmq._delayed(delay);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq.send(text, jsonb, integer) IS
'Send a message that is visible after delay seconds, and return its msg_id.

With a delay of zero or less it is visible at once.';

CREATE OR REPLACE FUNCTION pgmq.send(queue_name text, msg jsonb, delay timestamptz)
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 1
AS $$
BEGIN
    IF pgmq._pinned(queue_name) THEN
        RETURN NEXT pgmq._pinned_enqueue(queue_name, msg, null::jsonb, pgmq._delayed(delay));
    ELSE
        RETURN QUERY EXECUTE pg_catalog.format(
            'SELECT pgmq.%I($1, $2, $3)', pgmq._compiled('enqueue', queue_name)
        ) USING msg, null::jsonb, pgmq._delayed(delay);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq.send(text, jsonb, timestamptz) IS
'Send a message that is visible from the time delay on, and return its msg_id.

If that time is past, the message is visible at once.';

CREATE OR REPLACE FUNCTION pgmq.send(queue_name text, msg jsonb, headers jsonb, delay integer)
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 1
AS $$
BEGIN
    IF pgmq._pinned(queue_name) THEN
        RETURN NEXT pgmq._pinned_enqueue(queue_name, msg, headers, pgmq._delayed(delay));
    ELSE
        RETURN QUERY EXECUTE pg_catalog.format(
            'SELECT pgmq.%I($1, $2, $3)', pgmq._compiled('enqueue', queue_name)
        ) USING msg, headers, pgmq._delayed(delay);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq.send(text, jsonb, jsonb, integer) IS
'Send a message with headers (null for none), visible after delay seconds, and return its msg_id.';

CREATE OR REPLACE FUNCTION pgmq.send(queue_name text, msg jsonb, headers jsonb, delay timestamptz)
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 1
AS $$
BEGIN
    IF pgmq._pinned(queue_name) THEN
        RETURN NEXT pgmq._pinned_enqueue(queue_name, msg, headers, pgmq._delayed(delay));
    ELSE
        RETURN QUERY EXECUTE pg_catalog.format(
            'SELECT pgmq.%I($1, $2, $3)', pgmq._compiled('enqueue', queue_name)
        ) USING msg, headers, pgmq._delayed(delay);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq.send(text, jsonb, jsonb, timestamptz) IS
'Send a message with headers (null for none), visible from the time delay on, and return its msg_id.';
