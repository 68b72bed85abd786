-- pg_partman sets the search_path of the session, and at the end sets what it had found: where that
-- is a function's own search_path, it outlasts the function. A user's trigger may do so, too. So
-- whatever calls a function with a search_path that comes to pg_partman, or to triggers, calls this
-- then.
-- (What was SET LOCAL is then the session's, as after any of pg_partman's calls.)
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
'Set the search_path of the session unless it is that.';
