CREATE OR REPLACE FUNCTION pgmq.extend_lease(
    stream_name text,
    group_name text,
    lane integer,
    epoch bigint,
    vt integer
)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_lease record;
BEGIN
    IF vt IS NULL THEN
        PERFORM pgmq._raise_null('vt', 'Give the seconds until somebody else may have the batch.');
    END IF;
    v_lease := pgmq._lock_lease(stream_name, group_name, lane, epoch);
    IF v_lease.version IS NULL THEN
        RETURN false;
    END IF;
    PERFORM pgmq._change_lane(
        stream_name, group_name, lane, v_lease.version,
        jsonb_build_object('vt', clock_timestamp() + make_interval(secs => greatest(vt, 0)))
    );
    RETURN true;
END
$$;
COMMENT ON FUNCTION pgmq.extend_lease(text, text, integer, bigint, integer) IS
'Keep a batch for vt seconds from now on, as a heartbeat; false if the lease is lost.

A negative vt counts as 0: somebody else may have it at once. While a transaction that has fetched
the batch stays open, nobody else can get it anyway. It is false, too, while another transaction has
the lane: see commit.';
