CREATE OR REPLACE FUNCTION pgmq.list_bindings(exchange_name text DEFAULT null)
RETURNS TABLE (
    exchange_name text,
    queue_name text,
    channel text,
    pattern text,
    kind text,
    bound_at timestamptz
)
LANGUAGE sql STABLE
AS $$
    SELECT b.exchange_name, b.queue_name, b.channel, b.pattern, b.kind, b.bound_at
    FROM pgmq.binding AS b
    WHERE $1 IS NULL OR b.exchange_name = $1
    ORDER BY b.exchange_name, b.queue_name, b.channel, b.kind, b.path
$$;
COMMENT ON FUNCTION pgmq.list_bindings(text) IS
'List the bindings of an exchange (null: of all exchanges); each has a queue or a channel.';
