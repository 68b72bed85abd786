--# for partitioned
-- Remove one message, and return whether it was there: leased or not, or (with a receipt, its
-- read_ct) only if its lease is still the caller's. By time, it is looked up in the first
-- partitions, then in those that the marks say have messages, and then in all of them.
CREATE OR REPLACE FUNCTION pgmq._remove_$queue(id bigint, receipt integer)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off
AS $$
--# if by_time
DECLARE
    v_pass integer := 1;
--# end
BEGIN
    IF receipt IS NOT NULL AND ack_archives$policy THEN
        RETURN EXISTS (SELECT FROM pgmq._archivemany_$queue(ARRAY[id], ARRAY[receipt]));
    END IF;
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_$queue');
    END IF;
    --# if by_time
    LOOP
    --# end
    DELETE FROM pgmq.q_$queue AS m
    WHERE m.msg_id = id AND (receipt IS NULL OR m.read_ct = receipt)
        --# if by_time
        AND CASE v_pass
            WHEN 1 THEN front$partitions(m) WHEN 2 THEN lookup$partitions(m) ELSE true
        END
        --# end
        AND pgmq._may('DELETE', queue_name$policy, 'pgmq.q_$queue');
    --# if by_time
    EXIT WHEN FOUND OR v_pass = 3;
    v_pass := v_pass + 1;
    END LOOP;
    --# end
    RETURN FOUND;
END
$$;
