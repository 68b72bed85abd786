CREATE OR REPLACE FUNCTION pgmq.nack(
    queue_name text,
    msg_id bigint,
    read_ct integer,
    delay integer DEFAULT null,
    error text DEFAULT null
)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_msg_id bigint;
BEGIN
    EXECUTE pg_catalog.format(
        'SELECT * FROM pgmq.%I($1, $2, $3, true, $4)', pgmq._compiled('shift', queue_name)
    )
    INTO v_msg_id
    USING ARRAY[msg_id], ARRAY[read_ct], delay, error;
    RETURN v_msg_id IS NOT NULL;
END
$$;
COMMENT ON FUNCTION pgmq.nack(text, bigint, integer, integer, text) IS
'Return a leased message: it is visible again after delay seconds.

If delay is null, the queue''s policy gives the delay. Without such a policy, or with a delay of zero
or less, the message is visible at once. An error that is not null is kept in the header
x-pgmq-error. False when the lease is no longer the caller''s.';

CREATE OR REPLACE FUNCTION pgmq.nack(
    queue_name text,
    msg_ids bigint[],
    read_cts integer[],
    delay integer DEFAULT null,
    error text DEFAULT null
)
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 10
AS $$
BEGIN
    PERFORM pgmq._check_leases(msg_ids, read_cts);
    RETURN QUERY EXECUTE pg_catalog.format(
        'SELECT * FROM pgmq.%I($1, $2, $3, true, $4)', pgmq._compiled('shift', queue_name)
    ) USING msg_ids, read_cts, delay, error;
END
$$;
COMMENT ON FUNCTION pgmq.nack(text, bigint[], integer[], integer, text) IS
'Return leased messages to the queue, and return the msg_ids of those that went back.

The leases of the others were no longer the caller''s. delay and error are as for one message.';
