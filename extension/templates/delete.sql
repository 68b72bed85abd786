-- Remove one message, leased or not.
-- (A scalar function is called at half the cost of one that returns rows.)
CREATE OR REPLACE FUNCTION pgmq._delete_$queue(id bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
AS $$
BEGIN
    ASSERT pgmq._may('DELETE', queue_name$policy, 'pgmq.q_$queue');
    --# if partitioned
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_$queue');
    END IF;
    --# end
    --# if by_time
    DELETE FROM pgmq.q_$queue AS m WHERE $front(m) AND m.msg_id = id;
    IF FOUND THEN
        RETURN true;
    END IF;
    --# end
    DELETE FROM pgmq.q_$queue AS m WHERE $timely(m) AND m.msg_id = id;
    RETURN FOUND;
END
$$;
