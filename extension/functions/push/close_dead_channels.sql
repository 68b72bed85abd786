CREATE OR REPLACE FUNCTION pgmq.close_dead_channels()
RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_name text;
    v_count integer := 0;
BEGIN
    FOR v_name IN
        SELECT DISTINCT c.queue_name FROM pgmq.channel AS c ORDER BY c.queue_name
    LOOP
        -- What this locks and leases stays locked and leased until the caller's transaction ends.
        CONTINUE WHEN pgmq._may_be_pushed(v_name) IS NOT true;
        v_count := v_count + pgmq._close_lost(v_name);
        IF pgmq._pushes(v_name) THEN
            PERFORM pgmq._push(v_name, null, true);
        END IF;
    END LOOP;
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION pgmq.close_dead_channels() IS
'Close the channels whose sessions are gone, return how many, and push what is visible.

The messages that were pushed to them return to the queues. A message can fall due by itself: after
its delay, or when its lease ends. Then the next commit to the queue pushes it, or this function.

It works on the queues whose messages the caller may read (SELECT and UPDATE; the caller is the role
of SET ROLE or the login) and skips the others. Call it in consumers that have received nothing for
a while, and in a scheduler.';
