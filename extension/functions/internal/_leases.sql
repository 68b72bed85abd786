CREATE OR REPLACE FUNCTION pgmq._lock_leases(queue regclass)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '900ms'
AS $$
DECLARE
    v_space CONSTANT integer := queue::oid::bigint - 2147483648;
BEGIN
    -- A reader has locked the table; anybody else is not waited for.
    IF NOT EXISTS (
        SELECT FROM pg_locks AS a
        INNER JOIN pg_locks AS t ON a.virtualtransaction = t.virtualtransaction
        WHERE a.locktype = 'advisory' AND a.objsubid = 2 AND a.mode = 'ExclusiveLock'
            AND a.granted AND a.objid = 4294967295
            AND a.classid = ((queue::oid::bigint + 2147483648) % 4294967296)::oid
            AND t.locktype = 'relation' AND t.relation = queue AND t.mode = 'RowExclusiveLock'
            AND a.database = t.database
    )
    THEN
        RETURN pg_try_advisory_lock(v_space, -1);
    END IF;
    BEGIN
        PERFORM pg_advisory_lock(v_space, -1);
    EXCEPTION WHEN lock_not_available THEN
        RETURN false;
    END;
    RETURN true;
END
$$;
COMMENT ON FUNCTION pgmq._lock_leases(regclass) IS
'Lock out who counts the leases of a queue with max_in_flight; false where that has failed.

The lock is the session''s and must be given up. It is waited for for up to 900 ms, and not at all where a session has it that does not use the queue: then the cap may be exceeded by what is read at the same moment, but reads go on.';
