CREATE OR REPLACE FUNCTION pgmq.ack(queue_name text, msg_id bigint, read_ct integer)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_done boolean;
BEGIN
    -- A message that was never read has no lease.
    IF pgmq._pinned(queue_name) THEN
        RETURN pgmq._pinned_remove(
            queue_name, msg_id, CASE WHEN read_ct > 0 THEN read_ct ELSE -1 END
        );
    END IF;
    EXECUTE pg_catalog.format('SELECT pgmq.%I($1, $2)', pgmq._compiled('remove', queue_name))
    INTO v_done
    USING msg_id, CASE WHEN read_ct > 0 THEN read_ct ELSE -1 END;
    RETURN v_done;
END
$$;
COMMENT ON FUNCTION pgmq.ack(text, bigint, integer) IS
'Acknowledge a message: remove it if its lease is still the caller''s.

The msg_id and read_ct that came with the message are the lease. False means that the message was
read again meanwhile, or is gone. In that case roll back what was done for it, and its effects
happen exactly once.';

CREATE OR REPLACE FUNCTION pgmq.ack(queue_name text, msg_ids bigint[], read_cts integer[])
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 10
AS $$
BEGIN
    PERFORM pgmq._check_leases(msg_ids, read_cts);
    IF pgmq._pinned(queue_name) THEN
        RETURN QUERY SELECT * FROM pgmq._pinned_removemany(
            queue_name, msg_ids, coalesce(read_cts, '{}')
        );
    ELSE
        RETURN QUERY EXECUTE pg_catalog.format(
            'SELECT * FROM pgmq.%I($1, $2)', pgmq._compiled('removemany', queue_name)
        ) USING msg_ids, coalesce(read_cts, '{}');
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq.ack(text, bigint[], integer[]) IS
'Acknowledge messages, each with its read_ct, and return the msg_ids of the acknowledged ones.

The leases of the others were no longer the caller''s.';
