CREATE OR REPLACE FUNCTION pgmq._is_routing_key(routing_key text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    RETURN pgmq.validate_routing_key(routing_key);
EXCEPTION
    WHEN raise_exception THEN
        RETURN false;
END
$$;
COMMENT ON FUNCTION pgmq._is_routing_key(text) IS
'Whether validate_routing_key takes it: for clients, whose transaction an error would break.';

CREATE OR REPLACE FUNCTION pgmq._is_topic_pattern(pattern text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    RETURN pgmq.validate_topic_pattern(pattern);
EXCEPTION
    WHEN raise_exception THEN
        RETURN false;
END
$$;
COMMENT ON FUNCTION pgmq._is_topic_pattern(text) IS
'Whether validate_topic_pattern takes it: for clients, whose transaction an error would break.';
