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
        PERFORM pgmq._find_or_compile('enqueue', queue_name);
    END IF;
    PERFORM pgmq._bind(exchange_name, v_queue, null, pattern, kind);
END
$$;
COMMENT ON FUNCTION pgmq.bind(text, text, text, text) IS
'Bind a queue to an exchange: it gets what is published with a matching routing key.

- kind topic: the pattern is words with dots between them. * stands for exactly one word, # for any
  number of words, also none. Several wildcards in a row are stored in the shortest way that means
  the same.
- kind regex: the pattern is a regular expression, found anywhere in the key unless anchored.
- kind direct: the pattern is the key itself.
- kind fanout: the pattern is null or empty, and every key matches.

A pattern has up to 255 bytes. Binding again changes nothing. Raises an error for an unknown
exchange, queue or kind, and for an invalid pattern.';
