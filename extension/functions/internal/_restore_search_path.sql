-- pg_partman changes the search_path of the session, and at the end sets back what it had found. If
-- that was a function's own search_path, it then outlives the function. A user's trigger may do the
-- same. So after a call of a function with a search_path of its own that may run pg_partman or
-- triggers, the caller calls this.
-- (A search_path from SET LOCAL then becomes the session's, as after any call of pg_partman.)
CREATE OR REPLACE FUNCTION pgmq._restore_search_path(path text)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    IF pg_catalog.current_setting('search_path'::text) <> path THEN
        PERFORM pg_catalog.set_config('search_path', path, false);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._restore_search_path(text) IS
'Set the search_path of the session to this, unless it is already.';
