CREATE OR REPLACE FUNCTION pgmq._lock_leases(queue regclass)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '900ms'
AS $$
DECLARE
    v_space CONSTANT integer := pgmq._lock_space(queue);
    -- The same as pg_locks shows it, which has keys without a sign.
    v_shown CONSTANT oid := (v_space::bigint & 4294967295)::oid;
    v_holders integer[];
    v_locked boolean := false;
BEGIN
    FOR attempt IN 1..10 LOOP
        -- A reader has locked the table before, and keeps that lock for longer; anybody else is not
        -- waited for. In this order, and not at once: pg_locks has both kinds of locks as they were
        -- at different times.
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
'Lock out who counts the leases of a queue with max_in_flight; false where that has failed.

The lock is the session''s and must be given up. It is waited for for up to 900 ms, and not at all where a session has it that does not use the queue: then the cap may be exceeded by what is read at the same moment, but reads go on.';
