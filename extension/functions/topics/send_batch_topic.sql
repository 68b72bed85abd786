CREATE OR REPLACE FUNCTION pgmq.send_batch_topic(
    routing_key text,
    msgs jsonb[],
    headers jsonb[],
    delay timestamptz
)
RETURNS TABLE (queue_name text, msg_id bigint)
LANGUAGE plpgsql VOLATILE ROWS 100
AS $$
DECLARE
    v_queues text[];
    v_queue text;
BEGIN
    PERFORM pgmq.validate_routing_key(routing_key);
    PERFORM pgmq._validate_batch_params(msgs, headers);
    IF delay IS NULL THEN
        PERFORM pgmq._raise_null('delay', 'Give seconds or a time, or leave delay out.');
    END IF;
    v_queues := pgmq._topic_queues(routing_key);
    IF pgmq._can_be_used() THEN
        PERFORM pgmq._check_routes(v_queues);
    END IF;
    FOREACH v_queue IN ARRAY v_queues LOOP
        RETURN QUERY EXECUTE pg_catalog.format(
            'SELECT $4, m FROM pgmq.%I($1, $2, $3) AS m', pgmq._compiled('sendbatch', v_queue)
        ) USING msgs, headers, delay, v_queue;
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq.send_batch_topic(text, jsonb[], jsonb[], timestamptz) IS
'Send messages to every queue that bind_topic has bound with a matching pattern.

Each message has the headers in the same place (a null array: none) and is visible from the time
delay on. Returns the msg_ids, queue by queue, in the order of the queues'' names. Raises an error
for an invalid routing key, and the errors of send_batch.';

CREATE OR REPLACE FUNCTION pgmq.send_batch_topic(routing_key text, msgs jsonb[])
RETURNS TABLE (queue_name text, msg_id bigint)
LANGUAGE sql VOLATILE ROWS 100
AS $$
    SELECT * FROM pgmq.send_batch_topic(routing_key, msgs, null::jsonb[], '-infinity'::timestamptz)
$$;
COMMENT ON FUNCTION pgmq.send_batch_topic(text, jsonb[]) IS
'Send messages to every queue with a matching binding and return their msg_ids.';

CREATE OR REPLACE FUNCTION pgmq.send_batch_topic(routing_key text, msgs jsonb[], headers jsonb[])
RETURNS TABLE (queue_name text, msg_id bigint)
LANGUAGE sql VOLATILE ROWS 100
AS $$
    SELECT * FROM pgmq.send_batch_topic(routing_key, msgs, headers, '-infinity'::timestamptz)
$$;
COMMENT ON FUNCTION pgmq.send_batch_topic(text, jsonb[], jsonb[]) IS
'Send messages with headers to every queue with a matching binding and return their msg_ids.

Each message has the headers in the same place. With a null array no message has headers.';

CREATE OR REPLACE FUNCTION pgmq.send_batch_topic(routing_key text, msgs jsonb[], delay integer)
RETURNS TABLE (queue_name text, msg_id bigint)
LANGUAGE sql VOLATILE ROWS 100
AS $$
    SELECT * FROM pgmq.send_batch_topic(
        routing_key, msgs, null::jsonb[],
        clock_timestamp() + pg_catalog.make_interval(secs => delay)
    )
$$;
COMMENT ON FUNCTION pgmq.send_batch_topic(text, jsonb[], integer) IS
'Send messages with a delay to every queue with a matching binding and return their msg_ids.

They are visible after delay seconds, or at once if that is zero or less.';

CREATE OR REPLACE FUNCTION pgmq.send_batch_topic(routing_key text, msgs jsonb[], delay timestamptz)
RETURNS TABLE (queue_name text, msg_id bigint)
LANGUAGE sql VOLATILE ROWS 100
AS $$
    SELECT * FROM pgmq.send_batch_topic(routing_key, msgs, null::jsonb[], delay)
$$;
COMMENT ON FUNCTION pgmq.send_batch_topic(text, jsonb[], timestamptz) IS
'Send messages for later to every queue with a matching binding and return their msg_ids.

They are visible from the time delay on.';

CREATE OR REPLACE FUNCTION pgmq.send_batch_topic(
    routing_key text,
    msgs jsonb[],
    headers jsonb[],
    delay integer
)
RETURNS TABLE (queue_name text, msg_id bigint)
LANGUAGE sql VOLATILE ROWS 100
AS $$
    SELECT * FROM pgmq.send_batch_topic(
        routing_key, msgs, headers, clock_timestamp() + pg_catalog.make_interval(secs => delay)
    )
$$;
COMMENT ON FUNCTION pgmq.send_batch_topic(text, jsonb[], jsonb[], integer) IS
'Send messages with headers and a delay to every queue with a matching binding.

They are visible after delay seconds. Returns the msg_ids.';
