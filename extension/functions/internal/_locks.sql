-- Advisory locks of a queue have two keys: the first one is its table, the second one says what is
-- locked: -1 counting what is handed out (_lock_leases; the templates admit, meter and share),
-- -2 retention (_upkeep), -3 partitions (the template keep), -4 arming (the template arm). A shared
-- lock says how many messages a transaction has leased (admit).
CREATE OR REPLACE FUNCTION pgmq._lock_space(queue regclass)
RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    -- An oid has no sign, a key has one.
    SELECT (queue::oid::bigint - 2147483648)::integer
$$;
COMMENT ON FUNCTION pgmq._lock_space(regclass) IS 'The first of the two keys of a queue''s advisory locks.';

-- A variable cannot say whether the lock was had. A lock for which a session waits may be granted
-- in the moment of a cancel; and an assignment is one step only for an expression that PL/pgSQL
-- takes for a simple one, which it is not where a cancel has come while it was planned first.
CREATE OR REPLACE FUNCTION pgmq._unlock(space integer, what integer)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_locks AS l
        WHERE l.locktype = 'advisory' AND l.mode = 'ExclusiveLock' AND l.granted
            AND l.pid = pg_backend_pid() AND l.objsubid = 2
            -- Keys have a sign, and oids have none.
            AND l.classid = (space::bigint & 4294967295)::oid
            AND l.objid = (what::bigint & 4294967295)::oid
    )
    THEN
        PERFORM pg_advisory_unlock(space, what);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._unlock(integer, integer) IS
'After an error, release an advisory lock of a queue if this session has it.';

CREATE OR REPLACE FUNCTION pgmq._lock_table_first(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    EXECUTE pg_catalog.format(
        'SELECT FROM pgmq.%I WHERE false', pgmq.format_table_name(queue_name, 'q')
    );
END
$$;
COMMENT ON FUNCTION pgmq._lock_table_first(text) IS
'Lock the table of a queue as a read does, before any other relation of the queue.

drop_queue() locks them in this order, too: a transaction that holds a mark, say, and then waits for
the table would wait for a drop that waits for the mark. Raises 42P01 if the table is gone.';

CREATE OR REPLACE FUNCTION pgmq._holds_up_writers(queue regclass)
RETURNS boolean
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(bool_or(l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock')), false)
        AND NOT coalesce(bool_or(l.mode = 'AccessExclusiveLock'), false)
    FROM pg_locks AS l
    WHERE l.locktype = 'relation' AND l.relation = queue AND l.pid = pg_backend_pid()
        AND l.database = (
            SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()
        )
$$;
COMMENT ON FUNCTION pgmq._holds_up_writers(regclass) IS
'Whether this transaction has locked a queue''s table against writers, but not against all others.

A transaction that has looked at the queue and now waits to write waits for this one. If this one
then waited for an AccessExclusiveLock, and so for the other, it would be a deadlock.';

CREATE OR REPLACE FUNCTION pgmq._lock_out_all(queue regclass)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT pgmq._holds_up_writers(queue) THEN
        -- The table before its partitions, as all others do. DROP TRIGGER does not.
        EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', queue);
        RETURN;
    END IF;
    FOR attempt IN 1..40 LOOP
        BEGIN
            EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE NOWAIT', queue);
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(0.02);
        END;
    END LOOP;
    RAISE EXCEPTION '% is in use by calls that wait for this transaction', queue
        USING ERRCODE = 'lock_not_available',
            HINT = 'Turn something on, and off again, in transactions of their own.';
END
$$;
COMMENT ON FUNCTION pgmq._lock_out_all(regclass) IS
'Before DDL that locks everybody out: raise an error if waiting for the lock might be a deadlock.';

CREATE OR REPLACE FUNCTION pgmq._must_not_wait(relation regclass)
RETURNS boolean
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgmq._holds_up_writers(relation) OR EXISTS (
        SELECT FROM pg_locks AS l
        WHERE NOT l.granted AND pg_backend_pid() = ANY (pg_blocking_pids(l.pid))
    )
$$;
COMMENT ON FUNCTION pgmq._must_not_wait(regclass) IS
'Whether to wait for a lock of this table could be the deadlock of somebody else, and so his error.

Postgres checks a waiter for a deadlock once, after deadlock_timeout. If this transaction then waits
for that waiter, the waiter''s call fails. Who begins to wait after this transaction does is checked
later, when this wait is over if lock_timeout is below deadlock_timeout. But a waiter in the queue of
the same table, which this transaction has locked against others and wants to lock against all, is
checked at once.';

CREATE OR REPLACE FUNCTION pgmq._short_lock_timeout()
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ceil(min(s.setting::integer) / 20.0)::text
    FROM pg_settings AS s
    WHERE s.name = 'deadlock_timeout' OR s.name = 'lock_timeout' AND s.setting <> '0'
$$;
COMMENT ON FUNCTION pgmq._short_lock_timeout() IS
'A lock_timeout that ends a wait well before Postgres would look for a deadlock.';

CREATE OR REPLACE FUNCTION pgmq._is_awaited_by_users(queue_name text)
RETURNS boolean
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE
    waiting (pid) AS (
        SELECT pg_backend_pid()
        UNION
        SELECT l.pid
        FROM waiting AS w
        INNER JOIN pg_locks AS l ON NOT l.granted AND w.pid = ANY (pg_blocking_pids(l.pid))
    ),
    relations (relation) AS (
        SELECT to_regclass(format('pgmq.%I', r.name))::oid FROM pgmq._relations(queue_name) AS r
    )
    SELECT EXISTS (
        SELECT
        FROM waiting AS w
        INNER JOIN pg_locks AS l ON w.pid = l.pid
        WHERE l.locktype = 'relation' AND l.granted AND w.pid <> pg_backend_pid()
            AND l.relation IN (
                SELECT r.relation FROM relations AS r
                UNION ALL
                SELECT i.inhrelid
                FROM relations AS r
                INNER JOIN pg_inherits AS i ON r.relation = i.inhparent
            )
    )
$$;
COMMENT ON FUNCTION pgmq._is_awaited_by_users(text) IS
'Whether a session that waits for this transaction, or for one that does, has locked the queue.';

CREATE OR REPLACE FUNCTION pgmq._room_for_locks()
RETURNS bigint
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT current_setting('max_locks_per_transaction')::bigint * (
        current_setting('max_connections')::bigint
        + current_setting('max_prepared_transactions')::bigint
    )
$$;
COMMENT ON FUNCTION pgmq._room_for_locks() IS
'How many locks the server has room for, with all of its sessions together.';

CREATE OR REPLACE FUNCTION pgmq._locks_run_short()
RETURNS boolean
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 2 * (SELECT count(*) FROM pg_locks AS l WHERE l.pid = pg_backend_pid())
        > pgmq._room_for_locks()
$$;
COMMENT ON FUNCTION pgmq._locks_run_short() IS
'Whether this transaction has taken half of the locks that the server has room for.';
