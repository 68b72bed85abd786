CREATE OR REPLACE FUNCTION pgmq.bind(
    exchange_name text,
    queue_name text,
    pattern text,
    kind text DEFAULT 'topic'
)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_queue text := pgmq._lock_queue_name(queue_name);
BEGIN
    IF v_queue IS NULL THEN
        PERFORM pgmq._missing('enqueue', queue_name);
    END IF;
    PERFORM pgmq._bind(exchange_name, v_queue, null, pattern, kind);
END
$$;
COMMENT ON FUNCTION pgmq.bind(text, text, text, text) IS
'Have an exchange send to a queue what is published with a routing key that matches the pattern.

- kind topic: words with dots between them, of which * stands for exactly one and # for any number, also none. Several in a row are stored in the shortest way that means the same.
- kind regex: a regular expression, found anywhere in the key unless anchored.
- kind direct: the key itself.
- kind fanout: null or empty, and every key matches.

A pattern has up to 255 bytes. Doing it again changes nothing. Raises an error for an unknown exchange, queue or kind and for an invalid pattern.';
