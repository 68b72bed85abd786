CREATE OR REPLACE FUNCTION pgmq.redrive(
    dead_letter_queue text,
    queue_name text DEFAULT null,
    qty integer DEFAULT null,
    conditional jsonb DEFAULT '{}',
    rate double precision DEFAULT null
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
        IF rate IS NOT NULL AND pgmq._is_stream(pgmq._queue_table(queue_name)) THEN
            PERFORM pgmq._refuse_delay(queue_name);
        END IF;
    END IF;
    IF qty < 0 THEN
        PERFORM pgmq._check_read(0, qty);
    END IF;
    PERFORM pgmq._check_rate(rate);
    PERFORM pgmq._compiled('enqueue', dead_letter_queue);       -- an unknown queue is an error
    v_path := pg_catalog.current_setting('search_path'::text);
    v_moved := pgmq._redrive(
        dead_letter_queue, queue_name, coalesce(qty, 9223372036854775807),
        nullif(conditional, '{}'::jsonb), rate
    );
    PERFORM pgmq._restore_search_path(v_path);      -- triggers of the queues
    RETURN v_moved;
END
$$;
COMMENT ON FUNCTION pgmq.redrive(text, text, integer, jsonb, double precision) IS
'Put up to qty visible messages of a dead-letter queue back, and return how many.

The messages go to the queues that they came from, or all to queue_name if it is given, smallest
msg_id first. Null qty means all. They start anew: a new msg_id, read_ct 0, enqueued now, without
the headers x-pgmq-dead-letter and x-pgmq-error.

With conditional, only messages that contain that JSON (operator @>) go back. With a rate, each
queue gets so many messages a second: all are moved at once, and the first one is visible then. The
others are delayed, one after the other.

Messages that another transaction holds are skipped, so several calls can run at once. A message
stays, and does not count, if its queue no longer exists, is a stream, or is not safe for the caller
to send to. A warning names such messages'' queues. To append the dead letters of a group to its
stream again, give the stream''s name: all groups get them then.

Raises undefined_table for an unknown queue, and an error for a negative qty, a rate that is not
above 0, or when both are the same queue. A stream takes no rate.';
