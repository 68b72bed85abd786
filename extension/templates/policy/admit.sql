--# for admission
-- Choose and lock as many messages as max_in_flight leaves room for, and return their ids: as
-- choose does, or, if a kind is given, as _fifo_choose() does.
--
-- In flight are the committed leases, counted through an index, and the leases of open
-- transactions. For the second part each transaction holds a shared advisory lock until it ends,
-- whose number says how many messages it has leased. It takes another lock only when that number is
-- no longer enough. One session at a time counts the two parts; the lock for counting lasts as long
-- as this call, not as the transaction. A lease that is committed between the two counts is counted
-- twice: that may leave room unused for a moment, but never exceeds the limit. (An old snapshot
-- could exceed it: the limit holds under READ COMMITTED. It does not restrict extend and set_vt
-- either, which can turn a lease that has ended into one again.)
--
-- Anybody may take an advisory lock. So a lock counts only if its transaction also has a lock on
-- the table, and this call does not wait long for the lock for counting: see _lock_leases.
--
-- The function stays when the limit is switched off: a call that began before may still need it.
CREATE OR REPLACE FUNCTION pgmq._admit_$queue(
    quantity integer,
    condition jsonb,
    kind text,
    group_name text
)
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    -- The first half of the locks' key is made of the table's oid; pg_locks shows it unsigned.
    v_table CONSTANT bigint := 'pgmq.q_$queue'::regclass::oid;
    v_space CONSTANT integer := v_table - 2147483648;
    v_shown CONSTANT oid := (v_table + 2147483648) % 4294967296;
    v_limit CONSTANT integer := max_in_flight$policy;
    v_first_xid CONSTANT bigint := pg_current_xact_id_if_assigned()::text::bigint;
    v_alone boolean;
    v_locks integer;        -- what this transaction has said by how many locks, and what is true
    v_said bigint;
    v_own bigint;
    v_leased bigint;
    v_others bigint;
    v_now timestamptz;
    v_ids bigint[];
BEGIN
    ASSERT pgmq._may('UPDATE', queue_name$policy, 'pgmq.q_$queue');
    --# if paused_leases
    RETURN '{}'::bigint[];
    --# end
    --# if schedules
    PERFORM FROM pgmq.q_$queue WHERE false;     -- locked first: see drop_queue
    IF pgmq._is_tick_due('pgmq.tick_due_$queue') THEN
        PERFORM pgmq._fire(queue_name$policy);
    END IF;
    --# end
    IF v_limit IS NULL THEN         -- it was switched off
        --# if rate_limit
        RETURN pgmq._meter_$queue(quantity, condition, coalesce(kind, 'any'), group_name);
        --# else
        --# if max_in_flight_per_group
        RETURN pgmq._share_$queue(quantity, condition, coalesce(kind, 'any'), group_name);
        --# else
        RETURN CASE
            WHEN kind IS NULL THEN pgmq._claim(queue_name$policy, quantity, condition)
            ELSE pgmq._fifo_choose(queue_name$policy, quantity, kind, group_name)
        END;
        --# end
        --# end
    END IF;
    LOCK TABLE ONLY pgmq.q_$queue IN ROW EXCLUSIVE MODE;
    BEGIN
        v_alone := pg_try_advisory_lock(v_space, -1) OR pgmq._lock_leases('pgmq.q_$queue');
        WITH locks AS MATERIALIZED (
            SELECT l.virtualtransaction AS holder, l.pid, l.relation, l.objid::bigint AS leased
            FROM pg_locks AS l
            WHERE l.database = (
                    SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()
                )
                AND (
                    l.locktype = 'relation' AND l.relation = v_table
                    AND l.mode = 'RowExclusiveLock'
                    OR l.locktype = 'advisory' AND l.classid = v_shown AND l.objsubid = 2
                    AND l.mode = 'ShareLock'
                )
        )
        SELECT
            coalesce(sum(m.locks) FILTER (WHERE m.pid = pg_backend_pid()), 0),
            coalesce(sum(m.leased) FILTER (WHERE m.pid = pg_backend_pid()), 0),
            coalesce(sum(m.leased) FILTER (WHERE m.pid IS DISTINCT FROM pg_backend_pid()), 0)
        INTO v_locks, v_said, v_others
        FROM (
            SELECT a.pid, count(*) AS locks, max(a.leased) AS leased
            FROM locks AS a
            WHERE a.relation IS NULL
                AND a.holder IN (SELECT t.holder FROM locks AS t WHERE t.relation IS NOT NULL)
            GROUP BY a.holder, a.pid
        ) AS m;
        v_now := clock_timestamp();
        -- This transaction may have acknowledged some of its own leases.
        SELECT
            count(*),
            count(*) FILTER (WHERE CASE
                WHEN m.last_read_at >= now() AND m.xids_after < 2147483648
                    THEN pg_xact_status((v_first_xid + m.xids_after)::text::xid8) = 'in progress'
            END)
        INTO v_leased, v_own
        FROM (
            SELECT
                q.last_read_at,
                (q.xmin::text::bigint - v_first_xid) & 4294967295 AS xids_after
            FROM pgmq.q_$queue AS q
            WHERE live$partitions(q) AND q.last_read_at IS NOT NULL AND q.vt > v_now
            LIMIT v_limit
        ) AS m;
        quantity := least(quantity, v_limit - v_leased - v_others);
        IF quantity <= 0 THEN
            v_ids := '{}';
        --# unless rate_limit
        --# if max_in_flight_per_group
        ELSIF max_in_flight_per_group$policy IS NOT NULL THEN
            v_ids := pgmq._share_$queue(quantity, condition, coalesce(kind, 'any'), group_name);
        --# end
        ELSIF kind IS NULL THEN
            v_ids := pgmq._claim(queue_name$policy, quantity, condition);
        --# end
        ELSE
            --# if rate_limit
            v_ids := pgmq._meter_$queue(quantity, condition, coalesce(kind, 'any'), group_name);
            --# else
            v_ids := pgmq._fifo_choose(queue_name$policy, quantity, kind, group_name);
            --# end
        END IF;
        v_own := v_own + cardinality(v_ids);
        IF v_ids <> '{}' AND v_own > v_said THEN
            -- With many locks, say a little more than is true, so that they do not become too many.
            PERFORM pg_advisory_xact_lock_shared(v_space, least(
                CASE WHEN v_locks < 16 THEN v_own ELSE v_own + v_own / 8 END, 2147483647
            )::integer);
        END IF;
        PERFORM pg_advisory_unlock(v_space, -1) WHERE v_alone;
    EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
        PERFORM pgmq._unlock(v_space, -1);
        RAISE;
    END;
    RETURN v_ids;
END
$$;
