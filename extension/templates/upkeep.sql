-- A step of upkeep, on the back of some other call: by one session at a time, and without ever
-- failing what that call is for. About one call in 32 / quantity should do it, where quantity is
-- how many messages that call takes or how many rows it adds: so more than twice as many are
-- removed as are added, whatever the size of batches.
CREATE OR REPLACE FUNCTION pgmq._upkeep_$queue(quantity integer DEFAULT 1)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_space CONSTANT integer := 'pgmq.q_$queue'::regclass::oid::bigint - 2147483648;
BEGIN
    -- An old snapshot shows what others have removed already.
    IF current_setting('transaction_isolation') <> 'read committed'
        OR NOT pg_try_advisory_lock(v_space, -2)
    THEN
        RETURN;
    END IF;
    BEGIN
        PERFORM pgmq._forget_$queue(greatest(100, least(quantity, 5000) * 2));
    EXCEPTION
        WHEN query_canceled OR assert_failure THEN
            PERFORM pg_advisory_unlock(v_space, -2);
            RAISE;
        WHEN OTHERS OR assert_failure THEN      -- of a user's trigger
            RAISE WARNING 'upkeep of queue "%" failed: %', queue_name$policy, SQLERRM;
    END;
    PERFORM pg_advisory_unlock(v_space, -2);
END
$$;
