CREATE OR REPLACE FUNCTION pgmq.purge_queue(queue_name text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_count bigint;
BEGIN
    PERFORM pgmq._compiled('read', queue_name);     -- an unknown queue is an error
    EXECUTE format('DELETE FROM pgmq.%I', pgmq.format_table_name(queue_name, 'q'));
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION pgmq.purge_queue(text) IS
'Delete every message of a queue, leased ones too, and return how many those were. The archive stays. Producers do not wait for it; it waits for transactions that hold a message.';
