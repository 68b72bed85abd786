CREATE OR REPLACE FUNCTION pgmq.read(
    queue_name text,
    vt integer,
    qty integer,
    conditional jsonb DEFAULT '{}'
)
RETURNS SETOF pgmq.message_record
LANGUAGE plpgsql VOLATILE ROWS 10
AS $$
BEGIN
    IF vt IS NULL OR qty < 0 THEN
        PERFORM pgmq._check_read(vt, qty);
    END IF;
    qty := coalesce(qty, 2147483647);
    IF pgmq._may_look_after(qty) THEN
        PERFORM pgmq._look_after(queue_name, qty);
    END IF;
    IF conditional <> '{}' THEN
        RETURN QUERY SELECT * FROM pgmq._lease(queue_name, vt, qty, conditional);
    ELSIF pgmq._pinned(queue_name) THEN
        RETURN QUERY SELECT * FROM pgmq._pinned_receive(queue_name, vt, qty);
    ELSE
        RETURN QUERY EXECUTE pg_catalog.format(
            'SELECT * FROM pgmq.%I($1, $2, $3)', pgmq._compiled('receive', queue_name)
        ) USING vt, qty, null::pgmq.message_record;
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq.read(text, integer, integer, jsonb) IS
'Lease up to qty visible messages, smallest msg_id first, in msg_id order.

Each message is hidden for vt seconds from now, and its read_ct goes up by one. With vt of zero or
less it stays visible. Null qty means no limit. A read never waits for a message that another
transaction holds.

On a queue with the policy priorities, the highest come first, and the smallest msg_id of these.

With conditional, only messages that contain that JSON (operator @>) are taken. Finding them takes a
search.';
