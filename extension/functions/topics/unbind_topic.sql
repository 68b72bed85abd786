CREATE OR REPLACE FUNCTION pgmq.unbind_topic(pattern text, queue_name text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    IF coalesce(pattern, '') = '' THEN
        RAISE EXCEPTION 'pattern cannot be NULL or empty';
    END IF;
    PERFORM pgmq._check_bound_queue(queue_name);
    DELETE FROM pgmq.topic_bindings AS b
    WHERE b.pattern = unbind_topic.pattern AND lower(b.queue_name) = lower(unbind_topic.queue_name);
    RETURN found;
END
$$;
COMMENT ON FUNCTION pgmq.unbind_topic(text, text) IS
'Undo bind_topic; false when the queue was not bound with this pattern.';
