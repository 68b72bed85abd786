-- What a SECURITY DEFINER function that anybody may call asks before it does something for its
-- caller. A lock on the queue's table proves nothing: PREPARE takes one without any right.
CREATE OR REPLACE FUNCTION pgmq._has_written(queue regclass)
RETURNS boolean
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(bool_or(
        pg_stat_get_xact_tuples_inserted(t.relid) > 0
        OR pg_stat_get_xact_tuples_updated(t.relid) > 0
        OR pg_stat_get_xact_tuples_deleted(t.relid) > 0
    ), false)
    FROM (
        SELECT queue AS relid
        UNION ALL
        SELECT p.relid FROM pg_partition_tree(queue) AS p WHERE p.isleaf
    ) AS t
$$;
COMMENT ON FUNCTION pgmq._has_written(regclass) IS
'Whether this session has just inserted, updated or deleted rows of a queue''s table.

In this transaction, that is, or in one shortly before whose counts have not been reported yet. Only who has the right can have done so. For what is called after the write, and rarely: it takes some microseconds, more with many partitions.';

CREATE OR REPLACE FUNCTION pgmq._is_user(queue regclass, privilege text)
RETURNS boolean
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    -- SET ROLE needs membership, and a function of another owner changes neither of these.
    SELECT coalesce((
        SELECT has_table_privilege(r.oid, queue, privilege)
            OR privilege IN ('SELECT', 'INSERT', 'UPDATE')
            AND has_any_column_privilege(r.oid, queue, privilege)
        FROM pg_roles AS r
        WHERE r.rolname = coalesce(nullif(current_setting('role'), 'none'), session_user)
    ), false) OR pgmq._has_written(queue)
$$;
COMMENT ON FUNCTION pgmq._is_user(regclass, text) IS
'Whether the session''s role has a privilege on a queue''s table, or has just written to it.

To be called where current_user says nothing, as in SECURITY DEFINER functions. It knows the session''s login, or what SET ROLE has made of it, and not the owner of another SECURITY DEFINER function in between: such a caller is known only after it has written to the queue.';

CREATE OR REPLACE FUNCTION pgmq._is_own(transaction_id xid)
RETURNS boolean
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT transaction_id = pg_current_xact_id()::xid OR EXISTS (
        SELECT FROM pg_locks AS l
        WHERE l.locktype = 'transactionid' AND l.transactionid = _is_own.transaction_id
            AND l.pid = pg_backend_pid() AND l.mode = 'ExclusiveLock'
    )
$$;
COMMENT ON FUNCTION pgmq._is_own(xid) IS
'Whether an xmin or xmax is that of this transaction, or of a subtransaction that has not ended.

So a function can see that its caller has just stored, changed or locked a row. In a subtransaction it looks through pg_locks.';
