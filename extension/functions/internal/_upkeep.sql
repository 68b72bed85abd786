-- A step of upkeep as part of some other call: in one session at a time, and never failing that
-- call. quantity is how many messages the call takes, or how many rows it adds. Of the calls that
-- add rows, about one in 32 / quantity should do this. Then more than twice as many rows are
-- removed as are added, whatever the size of batches. (Reads help out less often.)
CREATE OR REPLACE FUNCTION pgmq._upkeep(queue_name text, quantity integer)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_forget CONSTANT text := pgmq._enabled('forget', queue_name);
    v_space integer;
BEGIN
    IF v_forget IS NULL THEN
        RETURN;
    END IF;
    -- An old snapshot still shows rows that others have removed.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RETURN;
    END IF;
    v_space := pgmq._lock_space(pgmq._queue_table(queue_name));
    BEGIN
        IF pg_try_advisory_lock(v_space, -2) THEN
            EXECUTE format('SELECT pgmq.%I($1)', v_forget)
            USING greatest(100, least(quantity, 5000) * 2);
            PERFORM pg_advisory_unlock(v_space, -2);
        END IF;
    EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
        PERFORM pgmq._unlock(v_space, -2);
        IF SQLSTATE = '57014' THEN
            RAISE;
        END IF;
        RAISE WARNING 'upkeep of queue "%" failed: %', queue_name, SQLERRM;
    END;
END
$$;
COMMENT ON FUNCTION pgmq._upkeep(text, integer) IS
'Do a step of upkeep as part of a call that takes or adds so many messages.

It removes archived messages and deduplication keys that the policy no longer keeps. A failure is
only a warning.';
