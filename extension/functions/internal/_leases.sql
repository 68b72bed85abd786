CREATE OR REPLACE FUNCTION pgmq._lock_leases(queue regclass)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '900ms'
AS $$
DECLARE
    v_space CONSTANT integer := pgmq._lock_space(queue);
    -- The same key as pg_locks shows it: unsigned.
    v_shown CONSTANT oid := (v_space::bigint & 4294967295)::oid;
    v_holders integer[];
    v_locked boolean := false;
BEGIN
    FOR attempt IN 1..10 LOOP
        -- Wait only for readers: those have locked the table before, and keep that lock for longer.
        -- The two kinds of locks are looked up in this order, one after the other: a single look at
        -- pg_locks would show them as they were at different times.
        v_holders := ARRAY(
            SELECT a.pid
            FROM pg_locks AS a
            WHERE a.locktype = 'advisory' AND a.objsubid = 2 AND a.mode = 'ExclusiveLock'
                AND a.granted AND a.classid = v_shown AND a.objid = 4294967295
                AND a.database = (
                    SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()
                )
        );
        v_locked := CASE
            WHEN EXISTS (
                SELECT FROM pg_locks AS t
                WHERE t.locktype = 'relation' AND t.relation = queue
                    AND t.mode = 'RowExclusiveLock' AND t.pid = ANY (v_holders)
            )
                THEN pg_advisory_lock(v_space, -1) IS NOT NULL
            ELSE pg_try_advisory_lock(v_space, -1)
        END;
        EXIT WHEN v_locked;     -- else a reader may have come and gone meanwhile
    END LOOP;
    RETURN v_locked;
EXCEPTION
    WHEN lock_not_available THEN
        RETURN false;
    WHEN query_canceled THEN
        IF v_locked THEN
            PERFORM pg_advisory_unlock(v_space, -1);
        END IF;
        RAISE;
END
$$;
COMMENT ON FUNCTION pgmq._lock_leases(regclass) IS
'Lock out others that count the leases of a queue with max_in_flight; false if that has failed.

The lock is the session''s and must be released. The call waits for up to 900 ms, and not at all for
a session that does not use the queue. After a failure the limit may be exceeded by reads of the
same moment, but reads go on.';
