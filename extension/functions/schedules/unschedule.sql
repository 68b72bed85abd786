CREATE OR REPLACE FUNCTION pgmq.unschedule(name text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_queue CONSTANT text := (
        SELECT s.queue_name FROM pgmq.schedule AS s WHERE s.schedule_name = unschedule.name
    );
    v_found boolean;
BEGIN
    IF v_queue IS NULL THEN
        RETURN false;
    END IF;
    PERFORM pgmq._queue_to_schedule(v_queue);
    DELETE FROM pgmq.schedule AS s
    WHERE s.schedule_name = unschedule.name AND s.queue_name = v_queue;
    v_found := FOUND;
    IF NOT EXISTS (SELECT FROM pgmq.schedule AS s WHERE s.queue_name = v_queue) THEN
        PERFORM pgmq._compile(v_queue);
    END IF;
    RETURN v_found;
END
$$;
COMMENT ON FUNCTION pgmq.unschedule(text) IS
'End a schedule, and return whether there was one of this name.

Messages that it has sent stay. The call waits for a transaction that is sending one. Only the owner
of the queue may call this.';
