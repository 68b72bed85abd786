--# for partitioned
-- See whether the partitions of the queue and its archive are to be kept, once a second or a
-- fiftieth of the time at most, on the back of some other call. It is done at the commit: see
-- _defer_upkeep.
CREATE OR REPLACE FUNCTION pgmq._tend_$queue()
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER      -- whoever reads has no right to set the sequence
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now CONSTANT bigint := pgmq._microseconds(clock_timestamp());
    v_due CONSTANT bigint := coalesce(pg_sequence_last_value('pgmq.tend_due_$queue'), 0);
BEGIN
    -- A time that is too far ahead was set before the clock was set back.
    IF v_now NOT BETWEEN v_due - 60000000 AND v_due - 1
        AND current_setting('transaction_isolation') = 'read committed'
        AND pgmq._is_user('pgmq.q_$queue', 'INSERT')    -- anybody else could put it off
    THEN
        PERFORM setval('pgmq.tend_due_$queue', v_now + 1000000);    -- others need not
        PERFORM pgmq._defer_upkeep(queue_name$policy);
    END IF;
END
$$;
