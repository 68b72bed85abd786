--# for plain
-- Remove one message, and return whether it was there: leased or not, or (with a receipt, its
-- read_ct) only if its lease is still the caller's. (A scalar function costs half of what one that
-- returns rows does.)
CREATE OR REPLACE FUNCTION pgmq._remove_$queue(id bigint, receipt integer)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
AS $$
BEGIN
    --# if ack_archives
    IF receipt IS NOT NULL THEN
        RETURN EXISTS (SELECT FROM pgmq._archivemany_$queue(ARRAY[id], ARRAY[receipt]));
    END IF;
    --# end
    DELETE FROM pgmq.q_$queue AS m
    WHERE m.msg_id = id AND (receipt IS NULL OR m.read_ct = receipt)
        AND pgmq._may('DELETE', queue_name$policy, 'pgmq.q_$queue');
    RETURN FOUND;
END
$$;
