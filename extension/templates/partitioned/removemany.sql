--# for partitioned
-- Remove messages and return their ids: leased or not, or (with receipts, their read_cts) only
-- those whose lease is still the caller's. By time, they are looked up in several passes: see
-- remove. (IS TRUE keeps the list of leases a hash table: see shift.)
CREATE OR REPLACE FUNCTION pgmq._removemany_$queue(msg_ids bigint[], receipts integer[])
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
--# if by_time
DECLARE
    v_pass integer := 1;
    v_count integer;
    v_missing integer := pg_catalog.cardinality(msg_ids);
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
    LOOP
    --# end
    RETURN QUERY
        DELETE FROM pgmq.q_$queue AS m
        WHERE m.msg_id = ANY (msg_ids)
            --# if by_time
            AND CASE v_pass
                WHEN 1 THEN front$partitions(m) AND m.tableoid IS DISTINCT FROM default$partitions
                WHEN 2 THEN lookup$partitions(m)
                ELSE true
            END
            --# end
            AND (receipts IS NULL OR m.read_ct > 0 AND ((m.msg_id, m.read_ct) IN (
                SELECT l.id, l.receipt FROM unnest(msg_ids, receipts) AS l (id, receipt)
            )) IS TRUE)
            AND pgmq._may('DELETE', queue_name$policy, 'pgmq.q_$queue')
        RETURNING m.msg_id;
    --# if by_time
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_missing := v_missing - v_count;
    EXIT WHEN v_missing = 0 OR v_pass = 3;
    v_pass := v_pass + 1;
    END LOOP;
    --# end
END
$$;
