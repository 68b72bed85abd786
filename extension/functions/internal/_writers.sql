CREATE OR REPLACE FUNCTION pgmq._writers(queue regclass)
RETURNS text[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ARRAY(
        SELECT l.virtualtransaction
        FROM pg_locks AS l
        WHERE l.locktype = 'relation' AND l.relation = queue AND l.mode = 'RowExclusiveLock'
            AND l.database = (
                SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()
            )
            AND l.pid IS DISTINCT FROM pg_backend_pid()     -- null for a prepared transaction
    );
END
$$;
COMMENT ON FUNCTION pgmq._writers(regclass) IS
'The transactions of other sessions that insert, update or delete in this table, or have done so and not ended yet.';
