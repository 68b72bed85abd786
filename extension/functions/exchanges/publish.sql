CREATE OR REPLACE FUNCTION pgmq.publish(
    exchange_name text,
    routing_key text,
    msg jsonb,
    headers jsonb DEFAULT null,
    delay integer DEFAULT 0
)
RETURNS integer
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_route record;
    v_payload text;
    v_channel text;
BEGIN
    IF routing_key IS NULL THEN
        PERFORM pgmq._raise_null('routing key', 'It may be empty.');
    END IF;
    IF octet_length(routing_key) > 255 THEN
        RAISE EXCEPTION 'routing key must have up to 255 bytes, not %', octet_length(routing_key)
            USING ERRCODE = 'string_data_right_truncation', HINT = 'Put the rest into the headers.';
    END IF;
    v_route := pgmq._route(exchange_name, routing_key);
    IF v_route.queues IS NULL AND v_route.channels IS NULL
        AND NOT pgmq._is_exchange(exchange_name)
    THEN
        PERFORM pgmq._raise_missing_exchange(exchange_name);
    END IF;

    IF v_route.channels IS NOT NULL THEN
        v_payload := pgmq._payload(
            pg_catalog.jsonb_build_object(
                'exchange', exchange_name,
                'routing_key', routing_key,
                -- The time makes each payload different: NOTIFY drops a second one that is equal
                -- to the first in the same transaction.
                'published_at', clock_timestamp()
            ),
            msg, headers
        );
        FOREACH v_channel IN ARRAY v_route.channels LOOP
            PERFORM pg_notify(v_channel, v_payload);
        END LOOP;
    END IF;
    RETURN pgmq._fan_out(coalesce(v_route.queues, '{}'), msg, headers, delay)
        + coalesce(pg_catalog.cardinality(v_route.channels), 0);
END
$$;
COMMENT ON FUNCTION pgmq.publish(text, text, jsonb, jsonb, integer) IS
'Send a message to every queue and channel of an exchange whose binding matches the routing key.

Each gets one copy, in the order of the names. In queues it is visible after delay seconds. Returns
the number of copies, which may be 0. The message may be null. Null headers mean none. A routing key
has up to 255 bytes.

Raises undefined_object for an unknown exchange, and an error for a null routing key or delay.';
