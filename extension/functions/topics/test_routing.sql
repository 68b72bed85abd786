CREATE OR REPLACE FUNCTION pgmq.test_routing(routing_key text)
RETURNS TABLE (pattern text, queue_name text, compiled_regex text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgmq.validate_routing_key(routing_key);
    RETURN QUERY
        SELECT b.pattern, b.queue_name, b.compiled_regex
        FROM pgmq._matching_topics(routing_key) AS b
        ORDER BY b.pattern, b.queue_name;
END
$$;
COMMENT ON FUNCTION pgmq.test_routing(text) IS
'List the bindings that a routing key matches, without sending anything.

A queue that is listed several times gets one copy.';
