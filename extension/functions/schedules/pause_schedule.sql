CREATE OR REPLACE FUNCTION pgmq.pause_schedule(name text)
RETURNS boolean
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgmq._pause_schedule(name, true)
$$;
COMMENT ON FUNCTION pgmq.pause_schedule(text) IS
'Pause a schedule until resume_schedule; false if it was paused before.

It sends nothing meanwhile; a call of schedule that replaces it keeps the pause. run_schedule sends
its message nevertheless. The call waits for a transaction that is sending one. Only the owner of
the queue may call this. Raises undefined_object for an unknown schedule.';
