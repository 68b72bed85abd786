--# for partitioned
-- Remove messages and return their ids: leased or not, or (with receipts, their read_cts) only
-- those whose lease is still the caller's. By time, messages that are not in the first partitions
-- are looked up in all of them. (IS TRUE keeps the list of leases a hash table: see shift.)
CREATE OR REPLACE FUNCTION pgmq._removemany_$queue(msg_ids bigint[], receipts integer[])
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
--# if by_time
DECLARE
    v_count integer;
--# end
BEGIN
    IF receipts IS NOT NULL AND ack_archives$policy THEN
        RETURN QUERY SELECT * FROM pgmq._archivemany_$queue(msg_ids, receipts);
        RETURN;
    END IF;
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_$queue');
    END IF;
    --# if by_time
    -- Messages are locked in the order of the partitions; the default partition is the last.
    RETURN QUERY
        DELETE FROM pgmq.q_$queue AS m
        WHERE front$partitions(m) AND m.msg_id = ANY (msg_ids)
            AND m.tableoid IS DISTINCT FROM default$partitions
            AND (receipts IS NULL OR m.read_ct > 0 AND ((m.msg_id, m.read_ct) IN (
                SELECT l.id, l.receipt FROM unnest(msg_ids, receipts) AS l (id, receipt)
            )) IS TRUE)
            AND pgmq._may('DELETE', queue_name$policy, 'pgmq.q_$queue')
        RETURNING m.msg_id;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    IF v_count = pg_catalog.cardinality(msg_ids) THEN
        RETURN;
    END IF;
    --# end
    RETURN QUERY
        DELETE FROM pgmq.q_$queue AS m
        WHERE lookup$partitions(m) AND m.msg_id = ANY (msg_ids)
            AND (receipts IS NULL OR m.read_ct > 0 AND ((m.msg_id, m.read_ct) IN (
                SELECT l.id, l.receipt FROM unnest(msg_ids, receipts) AS l (id, receipt)
            )) IS TRUE)
            AND pgmq._may('DELETE', queue_name$policy, 'pgmq.q_$queue')
        RETURNING m.msg_id;
END
$$;
