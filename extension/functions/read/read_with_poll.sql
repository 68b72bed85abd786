CREATE OR REPLACE FUNCTION pgmq.read_with_poll(
    queue_name text,
    vt integer,
    qty integer,
    max_poll_seconds integer DEFAULT 5,
    poll_interval_ms integer DEFAULT 100,
    conditional jsonb DEFAULT '{}'
)
RETURNS SETOF pgmq.message_record
LANGUAGE plpgsql VOLATILE ROWS 10
AS $$
BEGIN
    RETURN QUERY SELECT * FROM pgmq._poll(
        'SELECT * FROM pgmq.read($1, $2, $3, $4)',
        queue_name, vt, qty, conditional, max_poll_seconds, poll_interval_ms
    );
END
$$;
COMMENT ON FUNCTION pgmq.read_with_poll(text, integer, integer, integer, integer, jsonb) IS
'Like read, but when nothing is visible look again for some seconds.

The call looks every poll_interval_ms milliseconds (100 when null, at least 1) until
max_poll_seconds have passed (5 when null), and at least once. The calling transaction stays open
meanwhile. Under REPEATABLE READ it does not see messages that are committed later.';
