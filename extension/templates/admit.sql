--# if max_in_flight
-- Choose and lock as many messages as max_in_flight leaves room for: as claim does, or, where a
-- kind is given, groupchoose.
--
-- In flight is what is leased and committed, which an index counts, and what other transactions
-- have leased and not committed yet, for which they hold one advisory lock a message. Both are
-- counted while no other session is doing the same: it has a lock of its own for that, for as long
-- as this call only, not for the transaction. Who commits between the two counts is counted twice:
-- that may leave room unused for a moment, and never exceeds the limit. (An old snapshot would: the
-- limit is for READ COMMITTED. Nor does it hold back extend and set_vt, which can make a lease of
-- one that has ended.)
CREATE OR REPLACE FUNCTION pgmq._admit_$queue(
    quantity integer,
    condition jsonb,
    kind text,
    group_name text
)
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    -- Signed, as advisory locks have it; pg_locks shows it as an oid.
    v_space CONSTANT integer := ('pgmq.q_$queue'::regclass::oid::bigint - 2147483648)::integer;
    v_shown CONSTANT oid := (('pgmq.q_$queue'::regclass::oid::bigint + 2147483648) % 4294967296)::oid;
    v_limit CONSTANT integer := max_in_flight$policy;
    v_now timestamptz;
    v_taken bigint;
    v_ids bigint[];
BEGIN
    PERFORM pg_advisory_lock(v_space, -1);
    BEGIN
        v_taken := (
            SELECT count(*)
            FROM pg_catalog.pg_locks AS l
            WHERE l.locktype = 'advisory'
                AND l.database = (
                    SELECT d.oid FROM pg_catalog.pg_database AS d
                    WHERE d.datname = current_database()
                )
                AND l.classid = v_shown AND l.objsubid = 2 AND l.mode = 'ShareLock'
                AND l.pid IS DISTINCT FROM pg_backend_pid()
        );
        v_now := clock_timestamp();
        v_taken := v_taken + (
            SELECT count(*)
            FROM (
                SELECT FROM pgmq.q_$queue AS q
                WHERE q.last_read_at IS NOT NULL AND q.vt > v_now
                LIMIT v_limit
            ) AS m
        );
        quantity := least(quantity, v_limit - v_taken);
        IF quantity <= 0 THEN
            v_ids := '{}';
        ELSIF kind IS NULL THEN
            v_ids := pgmq._claim_$queue(quantity, condition);
        ELSE
            v_ids := pgmq._groupchoose_$queue(quantity, kind, group_name);
        END IF;
        PERFORM pg_advisory_xact_lock_shared(v_space, (u.id & 2147483647)::integer)
        FROM unnest(v_ids) AS u (id);
    EXCEPTION WHEN OTHERS OR query_canceled THEN
        PERFORM pg_advisory_unlock(v_space, -1);
        RAISE;
    END;
    PERFORM pg_advisory_unlock(v_space, -1);
    RETURN v_ids;
END
$$;
--# end
