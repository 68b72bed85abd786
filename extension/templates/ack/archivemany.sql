--# for leases
-- Move messages to the archive and return their ids: leased or not, or (with receipts, their
-- read_cts) only those whose lease is still the caller's. By time, see archive. (IS TRUE keeps the
-- list of leases a hash table: see shift.)
CREATE OR REPLACE FUNCTION pgmq._archivemany_$queue(msg_ids bigint[], receipts integer[])
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
--# if by_time
DECLARE
    v_everywhere boolean := false;
    v_count integer;
    v_missing integer := pg_catalog.cardinality(msg_ids);
--# end
BEGIN
    --# if partitioned
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_$queue');
    END IF;
    --# end
    --# if by_time
    LOOP
    --# end
    RETURN QUERY
        WITH removed AS (
            DELETE FROM pgmq.q_$queue AS m
            WHERE m.msg_id = ANY (msg_ids)
                --# if by_time
                AND (v_everywhere OR lookup$partitions(m))
                --# end
                AND (receipts IS NULL OR m.read_ct > 0 AND ((m.msg_id, m.read_ct) IN (
                    SELECT l.id, l.receipt FROM unnest(msg_ids, receipts) AS l (id, receipt)
                )) IS TRUE)
                AND pgmq._may('DELETE', queue_name$policy, 'pgmq.q_$queue')
            RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers
        )
        INSERT INTO pgmq.a_$queue AS a (
            msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers
        )
        SELECT r.* FROM removed AS r
        RETURNING a.msg_id;
    --# if by_time
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_missing := v_missing - v_count;
    EXIT WHEN v_missing = 0 OR v_everywhere;
    v_everywhere := true;
    END LOOP;
    --# end
    --# if archive_retention
    IF pgmq._chance(pg_catalog.cardinality(msg_ids), 32) THEN
        PERFORM pgmq._upkeep(queue_name$policy, pg_catalog.cardinality(msg_ids));
    END IF;
    --# end
END
$$;
