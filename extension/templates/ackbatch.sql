-- Remove, or archive, messages whose lease is still the caller's. (IS TRUE keeps the list of leases
-- a hash table to look up: as a join, it could cost a scan of the queue.)
CREATE OR REPLACE FUNCTION pgmq._ackbatch_$queue(msg_ids bigint[], read_cts integer[])
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
--# unless ack_archives
--# if by_time
DECLARE
    v_count integer;
--# end
--# end
BEGIN
    ASSERT pgmq._may('DELETE', queue_name$policy, 'pgmq.q_$queue');
    PERFORM pgmq._check_leases(msg_ids, read_cts);
    --# if partitioned
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_$queue');
    END IF;
    --# end
    --# unless ack_archives
    --# if by_time
    -- Messages are locked in the order of the partitions, of which the default one is the last.
    RETURN QUERY
        DELETE FROM pgmq.q_$queue AS m
        WHERE $front(m) AND m.msg_id = ANY (msg_ids) AND m.read_ct > 0
            AND m.tableoid IS DISTINCT FROM $default
            AND ((m.msg_id, m.read_ct) IN (
                SELECT l.id, l.receipt FROM unnest(msg_ids, read_cts) AS l (id, receipt)
            )) IS TRUE
        RETURNING m.msg_id;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    IF v_count = pg_catalog.cardinality(msg_ids) THEN
        RETURN;
    END IF;
    --# end
    RETURN QUERY
        DELETE FROM pgmq.q_$queue AS m
        WHERE $timely(m) AND m.msg_id = ANY (msg_ids) AND m.read_ct > 0
            AND ((m.msg_id, m.read_ct) IN (
                SELECT l.id, l.receipt FROM unnest(msg_ids, read_cts) AS l (id, receipt)
            )) IS TRUE
        RETURNING m.msg_id;
    --# end
    --# if ack_archives
    RETURN QUERY SELECT * FROM pgmq._archivebatch_$queue(ARRAY(
        SELECT m.msg_id
        FROM pgmq.q_$queue AS m
        WHERE $timely(m) AND m.msg_id = ANY (msg_ids) AND m.read_ct > 0
            AND ((m.msg_id, m.read_ct) IN (
                SELECT l.id, l.receipt FROM unnest(msg_ids, read_cts) AS l (id, receipt)
            )) IS TRUE
        --# unless partitioned
        ORDER BY m.msg_id
        --# end
        FOR UPDATE
    ));
    --# end
END
$$;
