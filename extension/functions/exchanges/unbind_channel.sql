CREATE OR REPLACE FUNCTION pgmq.unbind_channel(
    exchange_name text,
    channel text,
    pattern text,
    kind text DEFAULT 'topic'
)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_pattern text := pgmq._check_pattern(pattern, kind);
BEGIN
    DELETE FROM pgmq.binding AS b
    WHERE b.exchange_name = unbind_channel.exchange_name
        AND b.kind = unbind_channel.kind
        AND b.pattern = v_pattern
        AND b.channel = unbind_channel.channel;
    RETURN found;
END
$$;
COMMENT ON FUNCTION pgmq.unbind_channel(text, text, text, text) IS
'Undo bind_channel with the same arguments; false when there was no such binding.

Raises an error for an unknown kind and for an invalid pattern.';
