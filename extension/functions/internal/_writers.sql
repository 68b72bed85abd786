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
'The transactions of other sessions that have written to this table, or are writing, and not ended.

To write is to insert, update or delete.';

CREATE OR REPLACE FUNCTION pgmq._writers_of(
    stream regclass,
    OUT writers integer[],
    OUT locks integer
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Of all locks, not only those that are listed.
    SELECT
        coalesce(
            array_agg(hashtext(l.virtualtransaction)) FILTER (
                WHERE l.relation = stream AND l.locktype = 'relation'
                AND l.mode = 'RowExclusiveLock'
                AND l.pid IS DISTINCT FROM pg_backend_pid()     -- null for a prepared transaction
                AND l.database = (
                    SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()
                )
            ),
            '{}'
        ),
        count(*)
    INTO writers, locks
    FROM pg_locks AS l;
END
$$;
COMMENT ON FUNCTION pgmq._writers_of(regclass) IS
'Hashes of what _writers() returns, and how many locks there are on the server.';

CREATE OR REPLACE FUNCTION pgmq._innermost_xid()
RETURNS bigint
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    -- A subtransaction's id is locked until it ends, and is greater than the ids around it.
    SELECT t.xid + max((l.transactionid::text::bigint - t.xid) & 4294967295)
    FROM (SELECT pg_current_xact_id()::text::bigint AS xid) AS t
    CROSS JOIN pg_locks AS l
    WHERE l.locktype = 'transactionid' AND l.pid = pg_backend_pid() AND l.mode = 'ExclusiveLock'
    GROUP BY t.xid
$$;
COMMENT ON FUNCTION pgmq._innermost_xid() IS
'The transaction id of the innermost savepoint or block that has one.

It decides the outcome of what was written last.';
