CREATE OR REPLACE FUNCTION pgmq.purge_queue(queue_name text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_table text;
    v_count bigint;
BEGIN
    PERFORM pgmq._compiled('enqueue', queue_name);     -- an unknown queue is an error
    v_table := pg_catalog.format('pgmq.%I', pgmq.format_table_name(queue_name, 'q'));
    -- A consumer may delete, but should not purge by mistake: so this asks for TRUNCATE, too.
    IF NOT has_table_privilege(v_table, 'TRUNCATE') THEN
        RAISE EXCEPTION 'permission denied for table %',
            pgmq.format_table_name(queue_name, 'q')
            USING ERRCODE = 'insufficient_privilege',
                HINT = pg_catalog.format('Purging needs TRUNCATE and DELETE on %s.', v_table);
    END IF;
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot(v_table::regclass);
    END IF;
    -- Rows are locked in msg_id order within a partition, as batches of delete and ack do: in
    -- another order the two could deadlock.
    EXECUTE pg_catalog.format('DELETE FROM %s WHERE msg_id >= $1', v_table)
    USING '-9223372036854775808'::bigint;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION pgmq.purge_queue(text) IS
'Delete every message of a queue, leased ones too, and return how many there were.

The archive stays, and so do the positions of a stream''s groups. Producers do not wait for the
purge, but the purge waits for transactions that hold a message. Needs TRUNCATE and DELETE on the
queue''s table, which the queue''s owner has.';
