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
    RETURN QUERY EXECUTE pg_catalog.format(
        'SELECT * FROM pgmq.%I($1, $2, $3)', pgmq._compiled('read', queue_name)
    ) USING vt, coalesce(qty, 2147483647), conditional;
END
$$;
COMMENT ON FUNCTION pgmq.read(text, integer, integer, jsonb) IS
'Lease up to qty visible messages, smallest msg_id first, in msg_id order.

Each is hidden for vt seconds from now and its read_ct goes up by one. Null qty means no limit; vt of zero or less leaves them visible. With conditional, only messages that contain that JSON (operator @>) are taken, and finding them takes a search. Never waits for a message that another transaction holds.';
