CREATE OR REPLACE FUNCTION pgmq.resume_schedule(name text)
RETURNS boolean
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgmq._pause_schedule(name, false)
$$;
COMMENT ON FUNCTION pgmq.resume_schedule(text) IS
'End the pause of a schedule; false if it was not paused.

What was due during the pause was missed: the next call of the queue sends the last of it, or with
catch_up all. To leave that out, call schedule again before this, which begins anew. Only the owner
of the queue may call this. Raises undefined_object for an unknown schedule.';
