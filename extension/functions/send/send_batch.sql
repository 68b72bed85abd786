CREATE OR REPLACE FUNCTION pgmq.send_batch(queue_name text, msgs jsonb[])
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 100
AS $$
BEGIN
    PERFORM pgmq._validate_batch_params(msgs, null);
    RETURN QUERY EXECUTE pg_catalog.format(
        'SELECT * FROM pgmq.%I($1, $2, $3)', pgmq._compiled('sendbatch', queue_name)
    ) USING msgs, null::jsonb[], '-infinity'::timestamptz;
END
$$;
COMMENT ON FUNCTION pgmq.send_batch(text, jsonb[]) IS
'Send the messages of an array, and return their msg_ids in its order.

The array must not be null or empty. Its elements may be null.';

CREATE OR REPLACE FUNCTION pgmq.send_batch(queue_name text, msgs jsonb[], headers jsonb[])
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 100
AS $$
BEGIN
    PERFORM pgmq._validate_batch_params(msgs, headers);
    RETURN QUERY EXECUTE pg_catalog.format(
        'SELECT * FROM pgmq.%I($1, $2, $3)', pgmq._compiled('sendbatch', queue_name)
    ) USING msgs, headers, '-infinity'::timestamptz;
END
$$;
COMMENT ON FUNCTION pgmq.send_batch(text, jsonb[], jsonb[]) IS
'Send messages, each with the headers in the same place, and return their msg_ids in order.

With a null array no message has headers.';

CREATE OR REPLACE FUNCTION pgmq.send_batch(queue_name text, msgs jsonb[], delay integer)
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 100
AS $$
BEGIN
    PERFORM pgmq._validate_batch_params(msgs, null);
    RETURN QUERY EXECUTE pg_catalog.format(
        'SELECT * FROM pgmq.%I($1, $2, $3)', pgmq._compiled('sendbatch', queue_name)
    ) USING msgs, null::jsonb[], pgmq._delayed(delay);
END
$$;
COMMENT ON FUNCTION pgmq.send_batch(text, jsonb[], integer) IS
'Send messages that are visible after delay seconds, and return their msg_ids in order.

With a delay of zero or less they are visible at once.';

CREATE OR REPLACE FUNCTION pgmq.send_batch(queue_name text, msgs jsonb[], delay timestamptz)
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 100
AS $$
BEGIN
    PERFORM pgmq._validate_batch_params(msgs, null);
    RETURN QUERY EXECUTE pg_catalog.format(
        'SELECT * FROM pgmq.%I($1, $2, $3)', pgmq._compiled('sendbatch', queue_name)
    ) USING msgs, null::jsonb[], pgmq._delayed(delay);
END
$$;
COMMENT ON FUNCTION pgmq.send_batch(text, jsonb[], timestamptz) IS
'Send messages that are visible from the time delay on, and return their msg_ids in order.

If that time is past, they are visible at once.';

CREATE OR REPLACE FUNCTION pgmq.send_batch(
    queue_name text,
    msgs jsonb[],
    headers jsonb[],
    delay integer
)
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 100
AS $$
BEGIN
    PERFORM pgmq._validate_batch_params(msgs, headers);
    RETURN QUERY EXECUTE pg_catalog.format(
        'SELECT * FROM pgmq.%I($1, $2, $3)', pgmq._compiled('sendbatch', queue_name)
    ) USING msgs, headers, pgmq._delayed(delay);
END
$$;
COMMENT ON FUNCTION pgmq.send_batch(text, jsonb[], jsonb[], integer) IS
'Send messages with headers, visible after delay seconds, and return their msg_ids in order.';

CREATE OR REPLACE FUNCTION pgmq.send_batch(
    queue_name text,
    msgs jsonb[],
    headers jsonb[],
    delay timestamptz
)
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 100
AS $$
BEGIN
    PERFORM pgmq._validate_batch_params(msgs, headers);
    RETURN QUERY EXECUTE pg_catalog.format(
        'SELECT * FROM pgmq.%I($1, $2, $3)', pgmq._compiled('sendbatch', queue_name)
    ) USING msgs, headers, pgmq._delayed(delay);
END
$$;
COMMENT ON FUNCTION pgmq.send_batch(text, jsonb[], jsonb[], timestamptz) IS
'Send messages with headers, visible from the time delay on, and return their msg_ids in order.';
