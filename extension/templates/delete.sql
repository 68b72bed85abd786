-- Remove one message: leased or not, or (with a receipt, its read_ct) if its lease is still the
-- caller's. (A scalar function is called at half the cost of one that returns rows.)
CREATE OR REPLACE FUNCTION pgmq._delete_$queue(id bigint, receipt integer)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
--# if partitioned
SET plan_cache_mode = force_custom_plan
--# end
AS $$
BEGIN
    --# if ack_archives
    IF receipt IS NOT NULL THEN
        RETURN EXISTS (SELECT FROM pgmq._archivebatch_$queue(ARRAY[id], ARRAY[receipt]));
    END IF;
    --# end
    --# if partitioned
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_$queue');
    END IF;
    --# end
    --# if by_time
    DELETE FROM pgmq.q_$queue AS m
    WHERE front$partitions(m) AND m.msg_id = id AND (receipt IS NULL OR m.read_ct = receipt)
        AND pgmq._may('DELETE', queue_name$policy, 'pgmq.q_$queue');
    IF FOUND THEN
        RETURN true;
    END IF;
    --# end
    DELETE FROM pgmq.q_$queue AS m
    WHERE lookup$partitions(m) AND m.msg_id = id AND (receipt IS NULL OR m.read_ct = receipt)
        AND pgmq._may('DELETE', queue_name$policy, 'pgmq.q_$queue');
    RETURN FOUND;
END
$$;
