--# for max_in_flight_per_group
-- Choose and lock as many messages as there are and each group has room for, and return their ids.
-- The kind is any (the first messages), fair, or one of _fifo_choose().
--
-- A group has in flight the messages that are leased, and those that open transactions say they
-- have leased: for each group that a transaction takes messages of, it holds a shared advisory lock
-- until it ends, whose key is made of the group and of their number. One session at a time counts
-- and chooses, under the lock that admit takes, too, for the length of this call. What admit says
-- about old snapshots, extend and strangers is true of this limit, too. (A group whose lock a
-- stranger keeps is passed over.)
--
-- A transaction takes 1,000 such locks at most, so that it does not use up the server's. What it
-- has said counts until it ends, even if it has acknowledged some of these messages.
--
-- The function stays when the limit is switched off: a call that began before may still need it.
CREATE OR REPLACE FUNCTION pgmq._share_$queue(
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
    v_space CONSTANT integer := pgmq._lock_space('pgmq.q_$queue');
    v_limit CONSTANT integer := max_in_flight_per_group$policy;
    v_most CONSTANT integer := 1000;
    v_alone boolean;
    v_groups bigint[];
    v_owners bigint[];
    v_own integer[];
    v_locks integer;
    v_ids bigint[];
BEGIN
    ASSERT pgmq._may('UPDATE', queue_name$policy, 'pgmq.q_$queue');
    IF v_limit IS NULL THEN         -- it was switched off
        RETURN CASE kind
            WHEN 'any' THEN pgmq._claim(queue_name$policy, quantity, condition)
            ELSE pgmq._fifo_choose(queue_name$policy, quantity, kind, group_name)
        END;
    END IF;
    quantity := least(quantity, v_most);
    LOCK TABLE ONLY pgmq.q_$queue IN ROW EXCLUSIVE MODE;
    BEGIN
        v_alone := pg_try_advisory_lock(v_space, -1) OR pgmq._lock_leases('pgmq.q_$queue');
        v_ids := CASE
            WHEN kind IN ('any', 'fair') THEN pgmq._fair_choose(
                queue_name$policy, quantity, condition, kind = 'fair', true
            )
            ELSE pgmq._fifo_choose(queue_name$policy, quantity, kind, group_name)
        END;
        IF v_ids <> '{}' THEN
            v_owners := ARRAY(
                SELECT pgmq._group(q.headers)
                FROM unnest(v_ids) WITH ORDINALITY AS u (id, place)
                INNER JOIN pgmq.q_$queue AS q ON u.id = q.msg_id
                WHERE lookup$partitions(q)
                ORDER BY u.place
            );
            v_groups := ARRAY(SELECT DISTINCT o FROM unnest(v_owners) AS o);
            IF kind NOT IN ('any', 'fair') THEN
                SELECT r.msg_ids, r.owners INTO v_ids, v_owners
                FROM pgmq._within_room(
                    v_ids, v_owners, v_groups, pgmq._fairroom_$queue(v_groups, '{}')
                ) AS r;
            END IF;
            SELECT l.own, l.locks INTO v_own, v_locks
            FROM pgmq._group_leases('pgmq.q_$queue', v_groups) AS l;
            WITH said AS MATERIALIZED (
                SELECT g.id
                FROM (
                    SELECT u.owner, count(*) AS messages, min(u.place) AS place
                    FROM unnest(v_owners) WITH ORDINALITY AS u (owner, place)
                    GROUP BY u.owner
                    ORDER BY min(u.place)
                    LIMIT greatest(v_most - v_locks, 0)
                ) AS n
                INNER JOIN unnest(v_groups, v_own) AS g (id, own) ON n.owner = g.id
                WHERE pg_try_advisory_xact_lock_shared(
                    pgmq._group_lock('pgmq.q_$queue', g.id),
                    least(g.own + n.messages, v_limit)::integer
                )
            )
            SELECT coalesce(array_agg(u.id ORDER BY u.place), '{}') INTO v_ids
            FROM unnest(v_ids, v_owners) WITH ORDINALITY AS u (id, owner, place)
            WHERE u.owner IN (SELECT s.id FROM said AS s);
        END IF;
        PERFORM pg_advisory_unlock(v_space, -1) WHERE v_alone;
    EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
        PERFORM pgmq._unlock(v_space, -1);
        RAISE;
    END;
    RETURN v_ids;
END
$$;
