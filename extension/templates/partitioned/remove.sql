--# for partitioned
-- Remove one message, and return whether it was there: leased or not, or (with a receipt, its
-- read_ct) only if its lease is still the caller's. By time, a message that is not in the first
-- partitions is looked up in all of them.
CREATE OR REPLACE FUNCTION pgmq._remove_$queue(id bigint, receipt integer)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off
AS $$
BEGIN
    IF receipt IS NOT NULL AND ack_archives$policy THEN
        RETURN EXISTS (SELECT FROM pgmq._archivemany_$queue(ARRAY[id], ARRAY[receipt]));
    END IF;
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_$queue');
    END IF;
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
