CREATE OR REPLACE FUNCTION pgmq.close_dead_channels()
RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_name text;
    v_count integer := pgmq._close_dead();
BEGIN
    FOR v_name IN
        SELECT DISTINCT c.queue_name FROM pgmq.channel AS c
        WHERE pgmq._pushes(c.queue_name)
        ORDER BY c.queue_name
    LOOP
        PERFORM pgmq._push(v_name);
    END LOOP;
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION pgmq.close_dead_channels() IS
'Close the channels whose sessions are gone, return what was pushed to them to the queues, and return how many those were. Then push, in every queue with channels, what is visible: a message that falls due by itself, delayed, returned with a delay or after its lease has ended, is pushed by the next commit to the queue or by this. For consumers that have had nothing for a while, and for whoever does the upkeep.';
