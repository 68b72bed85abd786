CREATE OR REPLACE FUNCTION pgmq.redrive(
    dead_letter_queue text,
    queue_name text DEFAULT null,
    qty integer DEFAULT null
)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_path text;
    v_moved bigint;
BEGIN
    IF queue_name IS NOT NULL THEN
        PERFORM pgmq._check_other_queue(dead_letter_queue, queue_name);
    END IF;
    IF qty < 0 THEN
        PERFORM pgmq._check_read(0, qty);
    END IF;
    PERFORM pgmq._compiled('enqueue', dead_letter_queue);       -- an unknown queue is an error
    v_path := pg_catalog.current_setting('search_path'::text);
    v_moved := pgmq._redrive(
        dead_letter_queue, queue_name, coalesce(qty, 9223372036854775807)
    );
    PERFORM pgmq._restore_search_path(v_path);      -- triggers of the queues
    RETURN v_moved;
END
$$;
COMMENT ON FUNCTION pgmq.redrive(text, text, integer) IS
'Put up to qty visible messages of a dead-letter queue back, and return how many.

The messages go to the queues that they came from, or all to queue_name if it is given, smallest
msg_id first. Null qty means all. They start anew: a new msg_id, read_ct 0, enqueued now, without
the headers x-pgmq-dead-letter and x-pgmq-error.

Messages that another transaction holds are skipped, so several calls can run at once. A message
stays, and does not count, if its queue no longer exists, is a stream, or is not safe for the caller
to send to. A warning names such messages'' queues. To append the dead letters of a group to its
stream again, give the stream''s name: all groups get them then.

Raises undefined_table for an unknown queue, and an error for a negative qty or when both are the
same queue.';
