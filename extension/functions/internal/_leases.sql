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
    v_locked boolean;
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
        PERFORM pgmq._unlock(v_space, -1);      -- it may have been granted in that moment
        RETURN false;
END
$$;
COMMENT ON FUNCTION pgmq._lock_leases(regclass) IS
'Lock out others that count what a queue with limits hands out; false if that has failed.

The lock is the session''s: it must be released, after an error by _unlock(). The call waits for up
to 900 ms, and not at all for a session that does not use the queue. After a failure max_in_flight
may be exceeded by reads of the same moment, but reads go on; under a rate_limit nothing is read.';

CREATE OR REPLACE FUNCTION pgmq._group_lock(queue regclass, group_id bigint)
RETURNS integer
LANGUAGE sql IMMUTABLE
AS $$
    SELECT pg_catalog.hashint8(group_id # queue::oid::bigint)
$$;
COMMENT ON FUNCTION pgmq._group_lock(regclass, bigint) IS
'The first half of the key of the locks that say how many messages of a group are leased.';

CREATE OR REPLACE FUNCTION pgmq._group_leases(
    queue regclass,
    groups bigint[],
    OUT own integer[],
    OUT others integer[],
    OUT locks integer
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    WITH held AS MATERIALIZED (
        SELECT
            l.virtualtransaction AS holder,
            l.pid IS NOT DISTINCT FROM pg_backend_pid() AS is_own,
            l.relation,
            l.classid,
            l.objid::bigint AS leased
        FROM pg_locks AS l
        WHERE l.database = (
                SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()
            )
            AND (
                l.locktype = 'relation' AND l.relation = queue AND l.mode = 'RowExclusiveLock'
                OR l.locktype = 'advisory' AND l.objsubid = 2 AND l.mode = 'ShareLock'
            )
    ),

    said AS MATERIALIZED (
        SELECT h.classid, h.is_own, max(h.leased) AS leased
        FROM held AS h
        WHERE h.relation IS NULL
            AND h.holder IN (SELECT t.holder FROM held AS t WHERE t.relation IS NOT NULL)
        GROUP BY h.holder, h.is_own, h.classid
    )

    SELECT
        array_agg(g.own ORDER BY g.place),
        array_agg(g.others ORDER BY g.place),
        (SELECT count(*) FROM held AS h WHERE h.relation IS NULL AND h.is_own)
    INTO own, others, locks
    FROM (
        SELECT
            u.place,
            coalesce(max(s.leased) FILTER (WHERE s.is_own), 0) AS own,
            least(coalesce(sum(s.leased) FILTER (WHERE NOT s.is_own), 0), 2147483647) AS others
        FROM unnest(groups) WITH ORDINALITY AS u (id, place)
        LEFT JOIN said AS s
            ON s.classid = (pgmq._group_lock(queue, u.id)::bigint & 4294967295)::oid
        GROUP BY u.place
    ) AS g;
END
$$;
COMMENT ON FUNCTION pgmq._group_leases(regclass, bigint[]) IS
'How many messages of each of these groups open transactions have said that they have leased.

Those of this transaction and of others; and how many locks this transaction has said it by. A lock
counts only if its transaction has a lock on the table, too.';

-- What is newer than all that have ended (next_id is the first such id) has not ended. What seems
-- to be much newer is a lot older. (One expression, so that it is inlined.)
CREATE OR REPLACE FUNCTION pgmq._is_running(transaction_id xid, next_id bigint)
RETURNS boolean
LANGUAGE sql VOLATILE
AS $$
    SELECT ((transaction_id::text::bigint - next_id) & 4294967295) < 65536 OR pg_xact_status(
        greatest(next_id - ((next_id - transaction_id::text::bigint) & 4294967295), 0)::text::xid8
    ) IS NOT DISTINCT FROM 'in progress'
$$;
COMMENT ON FUNCTION pgmq._is_running(xid, bigint) IS
'Whether a transaction or a subtransaction has not ended, nor what it is a part of.';

-- A hint: who holds a row may let go at any time. (An id of a group of transactions, which share a
-- row only where somebody locks it by hand, is taken for one of a transaction.)
CREATE OR REPLACE FUNCTION pgmq._is_held(holder xid, maker xid)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_own CONSTANT xid := pg_current_xact_id_if_assigned()::xid;
    v_next CONSTANT bigint := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
BEGIN
    -- What this transaction has locked, it may take again. If it did so in a savepoint, the id is
    -- another one. But a version of a row that was made by a transaction that has not ended is seen
    -- by that one alone. So this one has made it, and nobody else can have locked it.
    RETURN holder IS DISTINCT FROM v_own AND pgmq._is_running(holder, v_next)
        AND (v_own IS NULL OR NOT pgmq._is_running(maker, v_next));
END
$$;
COMMENT ON FUNCTION pgmq._is_held(xid, xid) IS
'Whether another transaction has locked a row last, by its xmax and xmin, and has not ended.';
