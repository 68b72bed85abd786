--# for leases
-- Move one message, leased or not, to the archive. By time, a message that is not where the marks
-- say that there are any is looked up in all partitions.
CREATE OR REPLACE FUNCTION pgmq._archive_$queue(id bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
--# if partitioned
SET plan_cache_mode = force_custom_plan
--# end
AS $$
--# if archive_retention or by_time
DECLARE
--# end
--# if archive_retention
    v_found boolean;
--# end
--# if by_time
    v_everywhere boolean := false;
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
    WITH removed AS (
        DELETE FROM pgmq.q_$queue AS m
        WHERE m.msg_id = id
            --# if by_time
            AND (v_everywhere OR lookup$partitions(m))
            --# end
            AND pgmq._may('DELETE', queue_name$policy, 'pgmq.q_$queue')
        RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers
    )
    INSERT INTO pgmq.a_$queue (msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers)
    SELECT r.* FROM removed AS r;
    --# if by_time
    EXIT WHEN FOUND OR v_everywhere;
    v_everywhere := true;
    END LOOP;
    --# end
    --# if archive_retention
    v_found := FOUND;
    IF pgmq._chance(1, 32) THEN
        PERFORM pgmq._upkeep(queue_name$policy, 1);
    END IF;
    RETURN v_found;
    --# else
    RETURN FOUND;
    --# end
END
$$;
