--# for partitions
-- Maintain the partitions of the queue and its archive, or the lanes of a stream, while a
-- transaction commits: in one session at a time, and never failing that transaction.
CREATE OR REPLACE FUNCTION pgmq._keep_$queue()
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER      -- whoever reads need not own the tables
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_space CONSTANT integer := pgmq._lock_space('pgmq.q_$queue');
    v_now CONSTANT bigint := pgmq._microseconds(clock_timestamp());
BEGIN
    IF NOT pgmq._may_tend('pgmq.q_$queue')     -- whoever calls it by hand
        OR NOT pg_try_advisory_xact_lock(v_space, -3)
    THEN
        RETURN;
    END IF;
    BEGIN
        PERFORM pgmq._maintain_partitions(queue_name$policy, false, thorough => false);
        --# if leases
        PERFORM pgmq._maintain_partitions(queue_name$policy, true, thorough => false);
        --# else
        PERFORM pgmq._pass_over(queue_name$policy);     -- last, since it locks lanes
        --# end
        PERFORM setval('pgmq.tend_due_$queue', v_now + least(
            60000000,
            greatest(1000000, 50 * (pgmq._microseconds(clock_timestamp()) - v_now))
        ));
    EXCEPTION
        WHEN lock_not_available OR deadlock_detected THEN
            NULL;       -- others are at work: later
        -- There is nothing else left to cancel.
        WHEN OTHERS OR query_canceled OR assert_failure THEN
            RAISE WARNING 'upkeep of the partitions of queue "%" failed: %',
                queue_name$policy, SQLERRM;
    END;
END
$$;
