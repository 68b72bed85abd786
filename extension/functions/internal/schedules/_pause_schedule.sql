CREATE OR REPLACE FUNCTION pgmq._raise_no_schedule(name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'schedule "%" does not exist', name
        USING ERRCODE = 'undefined_object',
            HINT = 'SELECT * FROM pgmq.list_schedules() has those there are.';
END
$$;
COMMENT ON FUNCTION pgmq._raise_no_schedule(text) IS 'Raise the error for an unknown schedule.';

-- No call finds a schedule whose next_at is null. So a pause costs calls nothing.
CREATE OR REPLACE FUNCTION pgmq._pause_schedule(name text, pauses boolean)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_queue CONSTANT text := (
        SELECT s.queue_name FROM pgmq.schedule AS s WHERE s.schedule_name = _pause_schedule.name
    );
BEGIN
    IF v_queue IS NULL THEN
        PERFORM pgmq._raise_no_schedule(name);
    END IF;
    PERFORM pgmq._queue_to_schedule(v_queue);
    UPDATE pgmq.schedule AS s
    SET
        paused_at = CASE WHEN pauses THEN now() END,
        next_at = CASE WHEN NOT pauses THEN s.tick_at END
    WHERE s.schedule_name = _pause_schedule.name AND s.queue_name = v_queue
        AND (s.paused_at IS NULL) = pauses;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION pgmq._pause_schedule(text, boolean) IS
'Pause or resume a schedule; false if it was so before.';
