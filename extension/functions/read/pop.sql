CREATE OR REPLACE FUNCTION pgmq.pop(queue_name text, qty integer DEFAULT 1)
RETURNS SETOF pgmq.message_record
LANGUAGE plpgsql VOLATILE ROWS 10
AS $$
BEGIN
    IF qty < 0 THEN
        PERFORM pgmq._check_read(0, qty);
    END IF;
    qty := coalesce(qty, 2147483647);
    IF pgmq._may_look_after(qty) THEN
        PERFORM pgmq._look_after(queue_name, qty);
    END IF;
    IF pgmq._pinned(queue_name) THEN
        RETURN QUERY SELECT * FROM pgmq._pinned_consume(queue_name, qty);
    ELSE
        RETURN QUERY EXECUTE pg_catalog.format(
            'SELECT * FROM pgmq.%I($1, $2)', pgmq._compiled('consume', queue_name)
        ) USING qty, null::pgmq.message_record;
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq.pop(text, integer) IS
'Read and delete up to qty visible messages at once, smallest msg_id first, in msg_id order.

On a queue with the policy priorities, the highest come first, and the smallest msg_id of these.

Null qty means all. If the transaction rolls back, the messages are there again. If the client dies
after the commit, they are lost.';
