CREATE OR REPLACE FUNCTION pgmq.close_dead_channels()
RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_wanted CONSTANT text := current_setting('lock_timeout');
    v_name text;
    v_closed integer;
    v_count integer := 0;
BEGIN
    -- What this locks and leases stays locked and leased until the caller's transaction ends. Who
    -- waits for these queues and has locked another, to drop both, would find a deadlock.
    PERFORM set_config('lock_timeout', pgmq._short_lock_timeout(), true);
    FOR v_name IN
        SELECT DISTINCT c.queue_name FROM pgmq.channel AS c ORDER BY c.queue_name
    LOOP
        CONTINUE WHEN pgmq._may_be_pushed(v_name) IS NOT true;
        -- A queue that cannot be pushed must not hold up the others.
        BEGIN
            v_closed := pgmq._close_lost(v_name);
            IF pgmq._pushes(v_name) THEN
                PERFORM pgmq._push(v_name, null, true);
            END IF;
            v_count := v_count + v_closed;
        EXCEPTION
            WHEN lock_not_available OR deadlock_detected OR undefined_table THEN
                NULL;       -- somebody drops it, say: the next call looks again
            WHEN OTHERS THEN
                RAISE WARNING 'channels of queue "%" were left as they are: %', v_name, SQLERRM;
        END;
    END LOOP;
    PERFORM set_config('lock_timeout', v_wanted, true);
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION pgmq.close_dead_channels() IS
'Close the channels whose sessions are gone, return how many, and push what is visible.

The messages that were pushed to them return to the queues. A message can fall due by itself: after
its delay, or when its lease ends. Then the next commit to the queue pushes it, or this function.

It works on the queues whose messages the caller may read (SELECT and UPDATE; the caller is the role
of SET ROLE or the login) and skips the others. A queue that is locked for longer than a twentieth
of deadlock_timeout (1 s unless set) is left to the next call, and one that fails, with a warning.
Call it in consumers that have received nothing for a while, and in a scheduler.';
