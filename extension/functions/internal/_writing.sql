CREATE OR REPLACE FUNCTION pgmq._writing(
    queue regclass,
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
                WHERE l.relation = queue AND l.locktype = 'relation'
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
COMMENT ON FUNCTION pgmq._writing(regclass) IS
'Hashes of the transactions of others that have written to this table, or are writing, and not ended.

To write is to insert, update or delete. Also how many locks there are on the server.';

CREATE OR REPLACE FUNCTION pgmq._open_writer(
    queue regclass,
    age interval,
    OUT holder text,
    OUT since timestamptz,
    OUT fix text
)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT
        CASE
            WHEN l.pid IS NULL THEN 'a prepared transaction'
            ELSE concat(
                format('process %s (user "%s", %s)', l.pid, a.usename, a.state),
                to_char(a.xact_start, '" since "YYYY-MM-DD HH24:MI:SS TZ')
            )
        END,
        a.xact_start,
        CASE
            WHEN l.pid IS NULL THEN 'End it: see pg_prepared_xacts.'
            ELSE format('SELECT pg_terminate_backend(%s)', l.pid)
        END
    FROM pg_locks AS l
    LEFT JOIN pg_stat_activity AS a ON l.pid = a.pid
    WHERE l.locktype = 'relation' AND l.relation = queue
        AND l.mode = 'RowExclusiveLock' AND l.pid IS DISTINCT FROM pg_backend_pid()
        AND l.database = (
            SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()
        )
        AND (a.xact_start > clock_timestamp() - age) IS NOT TRUE
    ORDER BY a.xact_start NULLS FIRST
    LIMIT 1
$$;
COMMENT ON FUNCTION pgmq._open_writer(regclass, interval) IS
'The oldest transaction of others that has written to a table and been open for so long; or nulls.';

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
