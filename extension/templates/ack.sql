-- Remove, or archive, one message whose lease, the pair (msg_id, read_ct), is still the caller's.
-- Every read increments read_ct; a message that was never read is nobody's.
CREATE OR REPLACE FUNCTION pgmq._ack_$queue(id bigint, receipt integer)
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
    --# unless ack_archives
    --# if by_time
    DELETE FROM pgmq.q_$queue AS m
    WHERE $front(m) AND m.msg_id = id AND m.read_ct = receipt AND m.read_ct > 0;
    IF FOUND THEN
        RETURN true;
    END IF;
    --# end
    DELETE FROM pgmq.q_$queue AS m
    WHERE $timely(m) AND m.msg_id = id AND m.read_ct = receipt AND m.read_ct > 0;
    RETURN FOUND;
    --# end
    --# if ack_archives
    PERFORM FROM pgmq.q_$queue AS m
    WHERE $timely(m) AND m.msg_id = id AND m.read_ct = receipt AND m.read_ct > 0
    FOR UPDATE;
    RETURN FOUND AND pgmq._archive_$queue(id);
    --# end
END
$$;
