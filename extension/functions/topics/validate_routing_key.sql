CREATE OR REPLACE FUNCTION pgmq.validate_routing_key(routing_key text)
RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    IF length(routing_key) <= 255 AND routing_key ~ '^[a-zA-Z0-9_-]+([.][a-zA-Z0-9_-]+)*$' THEN
        RETURN true;
    END IF;
    PERFORM pgmq._check_length('routing_key', routing_key);
    IF routing_key ~ '[^a-zA-Z0-9._-]' THEN
        RAISE EXCEPTION 'routing_key contains invalid characters. Only alphanumeric, dots, hyphens, and underscores are allowed. Got: %', routing_key;
    END IF;
    PERFORM pgmq._check_dots('routing_key', routing_key);
    RETURN true;
END
$$;
COMMENT ON FUNCTION pgmq.validate_routing_key(text) IS
'Return true for a routing key that send_topic takes; raise an error for any other, null too.

A routing key has up to 255 letters, digits, hyphens and underscores, in words with dots between
them.';
