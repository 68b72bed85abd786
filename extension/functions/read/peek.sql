CREATE OR REPLACE FUNCTION pgmq.peek(
    queue_name text,
    qty integer DEFAULT 1,
    conditional jsonb DEFAULT '{}'
)
RETURNS SETOF pgmq.message_record
LANGUAGE plpgsql VOLATILE ROWS 10
AS $$
BEGIN
    RETURN QUERY EXECUTE pg_catalog.format(
        'SELECT * FROM pgmq.%I($1, $2)', pgmq._compiled('peek', queue_name)
    ) USING coalesce(qty, 2147483647), conditional;
END
$$;
COMMENT ON FUNCTION pgmq.peek(text, integer, jsonb) IS
'The messages that a read would return, in msg_id order, without leasing, locking or counting.

Null qty means all.';
