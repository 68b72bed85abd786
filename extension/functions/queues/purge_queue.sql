CREATE OR REPLACE FUNCTION pgmq.purge_queue(queue_name text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_count bigint;
BEGIN
    PERFORM pgmq._compiled('read', queue_name);     -- an unknown queue is an error
    -- In msg_id order, as batches of delete and ack lock their messages, or they could deadlock.
    EXECUTE format(
        'DELETE FROM pgmq.%I WHERE msg_id >= $1', pgmq.format_table_name(queue_name, 'q')
    ) USING '-9223372036854775808'::bigint;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION pgmq.purge_queue(text) IS
'Delete every message of a queue, leased ones too, and return how many those were. The archive stays. Producers do not wait for it; it waits for transactions that hold a message.';
