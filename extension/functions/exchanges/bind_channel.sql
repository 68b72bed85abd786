CREATE OR REPLACE FUNCTION pgmq.bind_channel(
    exchange_name text,
    channel text,
    pattern text,
    kind text DEFAULT 'topic'
)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    IF channel IS NULL THEN
        PERFORM pgmq._raise_null('channel', 'Name the channel that the receivers LISTEN to.');
    END IF;
    IF octet_length(channel) NOT BETWEEN 1 AND 63 THEN
        RAISE EXCEPTION 'channel must have 1 to 63 bytes, not %', octet_length(channel)
            USING ERRCODE = 'invalid_name', HINT = 'NOTIFY takes no other name.';
    END IF;
    PERFORM pgmq._bind(exchange_name, null, channel, pattern, kind);
END
$$;
COMMENT ON FUNCTION pgmq.bind_channel(text, text, text, text) IS
'Bind a NOTIFY channel to an exchange: what is published with a matching key is announced there.

The name of the channel has 1 to 63 bytes. pattern and kind are those of bind. Sessions that listen
when the publisher commits get the message. Nothing is stored.

The payload is a JSON object of exchange, routing_key, message, headers and published_at, of less
than 8,000 bytes. If they do not fit, message or headers or both are left out, and message_omitted
or headers_omitted is true.';
