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
    PERFORM pgmq._wake(stream_name);
    RETURN true;
END
$$;
COMMENT ON FUNCTION pgmq.release(text, text, integer, bigint, integer, text) IS
'Give a batch back, so that it is handed out again after delay seconds; false if the lease is lost.

What was committed of it stays so. Until then the lane waits, with all that comes after the batch. A
delay of 0 or less means at once.

With an error it counts as a failure, also with an empty one. If the group has max_deliveries, the
batch comes in smaller pieces next time, and a message that has failed alone for the last time
becomes a dead letter. Without an error (null) it counts as untouched. It is false, too, while
another transaction has the lane: see commit.';
