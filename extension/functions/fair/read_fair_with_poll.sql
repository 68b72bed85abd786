CREATE OR REPLACE FUNCTION pgmq.read_fair_with_poll(
    queue_name text,
    vt integer,
    qty integer,
    max_poll_seconds integer DEFAULT 5,
    poll_interval_ms integer DEFAULT 100
)
RETURNS SETOF pgmq.message_record
LANGUAGE plpgsql VOLATILE ROWS 10
AS $$
BEGIN
    RETURN QUERY SELECT * FROM pgmq._poll(
        'SELECT * FROM pgmq.read_fair($1, $2, $3)',
        queue_name, vt, qty, null, max_poll_seconds, poll_interval_ms
    );
END
$$;
COMMENT ON FUNCTION pgmq.read_fair_with_poll(text, integer, integer, integer, integer) IS
'Like read_fair, but when nothing is visible look again for some seconds.

The call looks every poll_interval_ms milliseconds (100 when null, at least 1) until
max_poll_seconds have passed (5 when null). See read_with_poll.';
