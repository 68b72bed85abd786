CREATE OR REPLACE FUNCTION pgmq.delete(queue_name text, msg_id bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_done boolean;
BEGIN
    IF pgmq._pinned(queue_name) THEN
        RETURN pgmq._pinned_remove(queue_name, msg_id, null);
    END IF;
    EXECUTE pg_catalog.format('SELECT pgmq.%I($1, null)', pgmq._compiled('remove', queue_name))
    INTO v_done
    USING msg_id;
    RETURN v_done;
END
$$;
COMMENT ON FUNCTION pgmq.delete(text, bigint) IS
'Remove a message, leased or not; false when it is not there.

To remove it only while the lease is the caller''s, use ack.';

CREATE OR REPLACE FUNCTION pgmq.delete(queue_name text, msg_ids bigint[])
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 10
AS $$
BEGIN
    RETURN QUERY EXECUTE pg_catalog.format(
        'SELECT * FROM pgmq.%I($1, null)', pgmq._compiled('removemany', queue_name)
    ) USING msg_ids;
END
$$;
COMMENT ON FUNCTION pgmq.delete(text, bigint[]) IS
'Remove messages, leased or not, and return the msg_ids of those that were there.';
