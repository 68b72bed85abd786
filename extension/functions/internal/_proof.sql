-- A SECURITY DEFINER function that anybody may call asks these before it acts for its caller. A
-- lock on the queue's table proves nothing: PREPARE takes one without any right.
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
'Whether this transaction has inserted, updated or deleted rows of this table.

To ask takes the right to do so. (The session''s transactions of the same second may count too. False
where track_counts is off.)';

CREATE OR REPLACE FUNCTION pgmq._is_user(queue regclass, privilege text)
RETURNS boolean
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    -- Trustworthy: SET ROLE needs membership, and a function of another owner changes neither the
    -- setting nor the login.
    SELECT coalesce((
        SELECT has_table_privilege(r.oid, queue, privilege)
            OR privilege IN ('SELECT', 'INSERT', 'UPDATE')
            AND has_any_column_privilege(r.oid, queue, privilege)
            -- grant_maintain() lets a role do the upkeep: it has the right to this function.
            OR has_function_privilege(r.oid, to_regprocedure(format(
                'pgmq.%I()', pgmq._function_name('scheduled', substr(c.relname, 3))
            ))::oid, 'EXECUTE')
        FROM pg_roles AS r
        INNER JOIN pg_class AS c ON c.oid = queue
        WHERE r.rolname = coalesce(nullif(current_setting('role'), 'none'), session_user)
    ), false) OR pgmq._has_written(queue)
$$;
COMMENT ON FUNCTION pgmq._is_user(regclass, text) IS
'Whether the session''s role has a privilege on a queue, maintains it, or has just written to it.

For SECURITY DEFINER functions, where current_user does not tell the caller. It knows the session''s
login, or the role of SET ROLE. It does not know the owner of another SECURITY DEFINER function in
between: such a caller is recognized only after it has written to the queue.';

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

So a function can see that its caller has just stored, changed or locked a row. In a subtransaction
it looks through pg_locks.';

-- Deliberately mislabelled IMMUTABLE, so that it is evaluated when the calling expression is
-- planned, once a session, and costs a call nothing. If the session uses the same plan with another
-- role later, Postgres itself raises the error, without the hint.
CREATE OR REPLACE FUNCTION pgmq._may(privilege text, queue_name text, queue regclass)
RETURNS boolean
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (CASE privilege
        WHEN 'DELETE' THEN has_table_privilege(queue, 'DELETE')
        WHEN 'SELECT' THEN has_column_privilege(queue, 'message', 'SELECT')
        ELSE has_any_column_privilege(queue, privilege)
    END) IS NOT FALSE       -- null for a table that has just been dropped
    THEN
        RETURN true;
    END IF;
    RAISE EXCEPTION 'permission denied for table %', (
        SELECT c.relname FROM pg_class AS c WHERE c.oid = queue
    )
        USING ERRCODE = 'insufficient_privilege',
            HINT = format(
                CASE
                    WHEN privilege = 'INSERT' THEN 'Its owner can SELECT pgmq.grant_send(%L, %L).'
                    WHEN pgmq._is_stream(queue)
                        THEN 'Its owner can SELECT pgmq.grant_fetch(%L, <group>, %L).'
                    ELSE 'Its owner can SELECT pgmq.grant_consume(%L, %L).'
                END,
                queue_name, current_user
            );
END
$$;
COMMENT ON FUNCTION pgmq._may(text, text, regclass) IS
'True; raise the error of a role that lacks a privilege on a queue, with a hint which grant it needs.';
