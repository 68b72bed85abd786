CREATE OR REPLACE FUNCTION pgmq.bind_topic(pattern text, queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_queue text;
BEGIN
    PERFORM pgmq.validate_topic_pattern(pattern);
    PERFORM pgmq._check_bound_queue(queue_name);
    v_queue := pgmq._lock_queue_name(queue_name);
    IF v_queue IS NULL THEN
        RAISE EXCEPTION 'Queue "%" does not exist. Create the queue first using pgmq.create()',
            queue_name;
    END IF;
    INSERT INTO pgmq.topic_bindings (pattern, queue_name)
    VALUES (bind_topic.pattern, v_queue)
    ON CONFLICT DO NOTHING;
END
$$;
COMMENT ON FUNCTION pgmq.bind_topic(text, text) IS
'Have send_topic send to a queue what has a routing key that matches the pattern.

There, * stands for one or more characters other than a dot, # for any, also none; so events.# does not match events. Doing it again changes nothing. Raises an error for an invalid pattern and for an unknown queue.';
