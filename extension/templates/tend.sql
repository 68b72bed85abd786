-- Keep the partitions of the queue and its archive, on the back of some other call's transaction: by
-- one session at a time, once a second or a fiftieth of the time at most, and without ever failing
-- what that transaction is for. When it is due, it is done at the commit: see _tend_later.
CREATE OR REPLACE FUNCTION pgmq._tend_$queue(at_commit boolean DEFAULT false)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER      -- whoever reads need not own the tables
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    --# if partitioned
    v_space CONSTANT integer := 'pgmq.q_$queue'::regclass::oid::bigint - 2147483648;
    v_now CONSTANT bigint := pgmq._microseconds(clock_timestamp());
    v_due CONSTANT bigint := coalesce(pg_sequence_last_value('pgmq.tend_due_$queue'), 0);
    --# end
BEGIN
    --# if partitioned
    IF NOT at_commit THEN
        -- A time that is too far ahead was set before the clock was set back.
        IF v_now NOT BETWEEN v_due - 60000000 AND v_due - 1
            AND current_setting('transaction_isolation') = 'read committed'
        THEN
            PERFORM setval('pgmq.tend_due_$queue', v_now + 1000000);    -- others need not
            PERFORM pgmq._tend_later(queue_name$policy);
        END IF;
        RETURN;
    END IF;

    IF NOT pg_try_advisory_xact_lock(v_space, -3) THEN
        RETURN;
    END IF;
    BEGIN
        PERFORM pgmq._keep_partitions(queue_name$policy, false, thorough => false);
        PERFORM pgmq._keep_partitions(queue_name$policy, true, thorough => false);
        PERFORM setval('pgmq.tend_due_$queue', v_now + least(
            60000000,
            greatest(1000000, 50 * (pgmq._microseconds(clock_timestamp()) - v_now))
        ));
    EXCEPTION
        -- A timeout of the commit included: there is nothing else left to cancel.
        WHEN OTHERS OR query_canceled THEN
            RAISE WARNING 'upkeep of the partitions of queue "%" failed: %',
                queue_name$policy, SQLERRM;
    END;
    --# end
END
$$;
