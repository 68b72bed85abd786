-- Choose and lock as many messages as max_in_flight leaves room for: as claim does, or, where a
-- kind is given, groupchoose.
--
-- In flight is what is leased and committed, which an index counts, and what other transactions
-- have leased and not committed yet: for that each call leaves an advisory lock behind, whose
-- number says how many, until its transaction ends. Both are counted while no other session does
-- the same; the lock for that lasts as long as this call, not as the transaction. What is committed
-- between the two counts is counted twice: that may leave room unused for a moment, and never
-- exceeds the limit. (An old snapshot would: the limit is for READ COMMITTED. Nor does it hold back
-- extend and set_vt, which can make a lease of one that has ended.)
--
-- This and what else only some policies need is compiled into every queue: a call that began under
-- another policy may still ask for it.
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
    v_calls integer;
    v_leased bigint;
    v_now timestamptz;
    v_ids bigint[];
BEGIN
    PERFORM pg_advisory_lock(v_space, -1);
    BEGIN
        SELECT
            count(*) FILTER (WHERE l.pid = pg_backend_pid()),
            coalesce(
                sum(l.objid::bigint & 65535) FILTER (WHERE l.pid IS DISTINCT FROM pg_backend_pid()),
                0
            )
        INTO v_calls, v_leased
        FROM pg_catalog.pg_locks AS l
        WHERE l.locktype = 'advisory' AND l.classid = v_shown AND l.objsubid = 2
            AND l.mode = 'ShareLock' AND l.database = (
                SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database()
            );
        v_now := clock_timestamp();
        v_leased := v_leased + (
            SELECT count(*)
            FROM (
                SELECT FROM pgmq.q_$queue AS q
                WHERE $live(q) AND q.last_read_at IS NOT NULL AND q.vt > v_now
                LIMIT v_limit
            ) AS m
        );
        quantity := least(quantity, v_limit - v_leased, 65535);
        IF quantity <= 0 THEN
            v_ids := '{}';
        ELSIF kind IS NULL THEN
            v_ids := pgmq._claim_$queue(quantity, condition);
        ELSE
            v_ids := pgmq._groupchoose_$queue(quantity, kind, group_name);
        END IF;
        IF v_ids <> '{}' THEN
            -- No two of a transaction have one number: a rollback to a savepoint gives up the last.
            PERFORM pg_advisory_xact_lock_shared(v_space, v_calls * 65536 + cardinality(v_ids));
        END IF;
    EXCEPTION WHEN OTHERS OR query_canceled THEN
        PERFORM pg_advisory_unlock(v_space, -1);
        RAISE;
    END;
    PERFORM pg_advisory_unlock(v_space, -1);
    RETURN v_ids;
END
$$;
