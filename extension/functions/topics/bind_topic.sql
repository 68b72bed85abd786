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
'Bind a queue to a pattern: send_topic sends it the messages whose routing key matches.

In a pattern, * stands for one or more characters other than a dot, and # for any number of any
characters, also none. So events.# does not match events. Binding again changes nothing. Raises an
error for an invalid pattern and for an unknown queue.';
