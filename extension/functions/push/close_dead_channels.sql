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
        -- What this locks and leases stays so until the caller's transaction ends.
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

What was pushed to them returns to the queues. A message that falls due by itself, delayed, returned with a delay or after its lease has ended, is pushed by the next commit to the queue or by this.

In the queues of which the caller may read messages (SELECT and UPDATE; who calls is known by SET ROLE or the login); it passes over the others. For consumers that have had nothing for a while, and for whoever does the upkeep.';
