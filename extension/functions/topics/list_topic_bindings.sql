CREATE OR REPLACE FUNCTION pgmq.list_topic_bindings()
RETURNS TABLE (pattern text, queue_name text, bound_at timestamptz, compiled_regex text)
LANGUAGE sql STABLE
AS $$
    SELECT b.pattern, b.queue_name, b.bound_at, b.compiled_regex
    FROM pgmq.topic_bindings AS b
    ORDER BY b.bound_at DESC, b.pattern, b.queue_name
$$;
COMMENT ON FUNCTION pgmq.list_topic_bindings() IS
'List all bindings of bind_topic, the latest first, with the regular expression of each pattern.';

CREATE OR REPLACE FUNCTION pgmq.list_topic_bindings(queue_name text)
RETURNS TABLE (pattern text, queue_name text, bound_at timestamptz, compiled_regex text)
LANGUAGE sql STABLE
AS $$
    SELECT b.pattern, b.queue_name, b.bound_at, b.compiled_regex
    FROM pgmq.topic_bindings AS b
    WHERE lower(b.queue_name) = lower($1)
    ORDER BY b.bound_at DESC, b.pattern, b.queue_name
$$;
COMMENT ON FUNCTION pgmq.list_topic_bindings(text) IS
'List the bindings of one queue, the latest first; none for an unknown queue.';
