CREATE OR REPLACE FUNCTION pgmq.unbind(
    exchange_name text,
    queue_name text,
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
    WHERE b.exchange_name = unbind.exchange_name
        AND b.kind = unbind.kind
        AND b.pattern = v_pattern
        AND lower(b.queue_name) = lower(unbind.queue_name);
    RETURN found;
END
$$;
COMMENT ON FUNCTION pgmq.unbind(text, text, text, text) IS
'Undo bind with the same arguments; false when there was no such binding.

Raises an error for an unknown kind and for an invalid pattern.';
