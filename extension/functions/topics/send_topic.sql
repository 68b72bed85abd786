CREATE OR REPLACE FUNCTION pgmq.send_topic(
    routing_key text,
    msg jsonb,
    headers jsonb,
    delay integer
)
RETURNS integer
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM pgmq.validate_routing_key(routing_key);
    IF msg IS NULL THEN
        RAISE EXCEPTION 'msg cannot be NULL';
    END IF;
    IF delay < 0 THEN
        RAISE EXCEPTION 'delay cannot be negative, got: %', delay;
    END IF;
    RETURN pgmq._fan_out(pgmq._topic_queues(routing_key), msg, headers, delay);
END
$$;
COMMENT ON FUNCTION pgmq.send_topic(text, jsonb, jsonb, integer) IS
'Send a message to every queue that bind_topic has bound with a matching pattern.

Each queue gets one copy, in the order of the queues'' names. The message has the given headers (null
for none) and is visible after delay seconds. Returns the number of queues, which may be 0. Raises
an error for an invalid routing key, a null message and a negative delay.';

CREATE OR REPLACE FUNCTION pgmq.send_topic(routing_key text, msg jsonb)
RETURNS integer
LANGUAGE sql VOLATILE
AS $$
    SELECT pgmq.send_topic(routing_key, msg, null::jsonb, 0)
$$;
COMMENT ON FUNCTION pgmq.send_topic(text, jsonb) IS
'Send a message to every queue with a matching binding, and return the number of queues.';

CREATE OR REPLACE FUNCTION pgmq.send_topic(routing_key text, msg jsonb, delay integer)
RETURNS integer
LANGUAGE sql VOLATILE
AS $$
    SELECT pgmq.send_topic(routing_key, msg, null::jsonb, delay)
$$;
COMMENT ON FUNCTION pgmq.send_topic(text, jsonb, integer) IS
'Send a message to every queue with a matching binding, and return the number of queues.

It is visible after delay seconds.';
