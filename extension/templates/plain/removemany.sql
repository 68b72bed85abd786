--# for plain
-- Remove messages and return their ids: leased or not, or (with receipts, their read_cts) only
-- those whose lease is still the caller's. (IS TRUE keeps the list of leases a hash table: see
-- shift.)
CREATE OR REPLACE FUNCTION pgmq._removemany_$queue(msg_ids bigint[], receipts integer[])
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    --# if ack_archives
    IF receipts IS NOT NULL THEN
        RETURN QUERY SELECT * FROM pgmq._archivemany_$queue(msg_ids, receipts);
        RETURN;
    END IF;
    --# end
    RETURN QUERY
        DELETE FROM pgmq.q_$queue AS m
        WHERE m.msg_id = ANY (msg_ids)
            AND (receipts IS NULL OR m.read_ct > 0 AND ((m.msg_id, m.read_ct) IN (
                SELECT l.id, l.receipt FROM unnest(msg_ids, receipts) AS l (id, receipt)
            )) IS TRUE)
            AND pgmq._may('DELETE', queue_name$policy, 'pgmq.q_$queue')
        RETURNING m.msg_id;
END
$$;
