CREATE OR REPLACE FUNCTION pgmq.release(
    stream_name text,
    group_name text,
    lane integer,
    epoch bigint,
    delay integer DEFAULT 0,
    error text DEFAULT null
)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_lease record;
BEGIN
    IF delay IS NULL THEN
        PERFORM pgmq._raise_null('delay', 'Give the seconds until the batch is handed out again.');
    END IF;
    v_lease := pgmq._lock_lease(stream_name, group_name, lane, epoch);
    IF v_lease.version IS NULL THEN
        RETURN false;
    END IF;
    PERFORM pgmq._give_back(
        stream_name, group_name, lane, clock_timestamp() + make_interval(secs => delay), error
    );
    RETURN true;
END
$$;
COMMENT ON FUNCTION pgmq.release(text, text, integer, bigint, integer, text) IS
'Give a batch back, so that it is handed out again after delay seconds; false if the lease is lost.

What was committed of it stays so. With an error it counts as a failure: the next time it comes in
smaller pieces, and a message that has failed alone for the last time becomes a dead letter, as the
options of the group say. Without an error it counts as untouched.';
