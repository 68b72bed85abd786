CREATE OR REPLACE FUNCTION pgmq.ack(queue_name text, msg_id bigint, read_ct integer)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_done boolean;
BEGIN
    EXECUTE pg_catalog.format('SELECT pgmq.%I($1, $2)', pgmq._compiled('ack', queue_name))
    INTO v_done
    USING msg_id, read_ct;
    RETURN v_done;
END
$$;
COMMENT ON FUNCTION pgmq.ack(text, bigint, integer) IS
'Acknowledge a message: remove it if its lease is still the caller''s.

The lease is the msg_id and read_ct that came with the message. False when it was read again meanwhile or is gone: then roll back what was done for it, and its effects happen exactly once.';

CREATE OR REPLACE FUNCTION pgmq.ack(queue_name text, msg_ids bigint[], read_cts integer[])
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 10
AS $$
BEGIN
    RETURN QUERY EXECUTE pg_catalog.format(
        'SELECT * FROM pgmq.%I($1, $2)', pgmq._compiled('ackbatch', queue_name)
    ) USING msg_ids, read_cts;
END
$$;
COMMENT ON FUNCTION pgmq.ack(text, bigint[], integer[]) IS
'Acknowledge messages, each with its read_ct, and return the msg_ids of those that were.

The others'' leases were no longer the caller''s.';
