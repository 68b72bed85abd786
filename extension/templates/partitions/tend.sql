--# for partitions
-- Look, as part of some other call, whether the partitions of the queue and its archive need
-- upkeep: at most once a second, and in at most a fiftieth of the time. The upkeep itself is done
-- at the commit: see _defer_upkeep.
CREATE OR REPLACE FUNCTION pgmq._tend_$queue()
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER      -- whoever reads has no right to set the sequence
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now CONSTANT bigint := pgmq._microseconds(clock_timestamp());
    v_due CONSTANT bigint := coalesce(pg_sequence_last_value('pgmq.tend_due_$queue'), 0);
BEGIN
    -- An old snapshot lacks the looks and the partitions that others have added since.
    IF pgmq._keeps_snapshot() THEN
        RETURN;
    END IF;
    --# if stream
    -- What has been sent so far is not held back by who writes later: see _settled.
    PERFORM pgmq._settled('pgmq.q_$queue', 9223372036854775806);
    --# end
    -- If the due time is too far ahead, the clock has been set back since.
    IF v_now NOT BETWEEN v_due - 60000000 AND v_due - 1
        AND pgmq._may_tend('pgmq.q_$queue')     -- anybody else could put it off
    THEN
        PERFORM setval('pgmq.tend_due_$queue', v_now + 1000000);    -- others need not
        PERFORM pgmq._defer_upkeep(queue_name$policy);
    END IF;
END
$$;
