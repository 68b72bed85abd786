--# for rate_limit or paused_leases
-- Choose and lock as many messages as rate_limit lets through now, and return their ids. Only those
-- that are found are counted, by gate. The kind is any (the first messages), one of _fifo_choose(),
-- or null for pop: the first messages, whatever is leased.
--
-- One session at a time does this, under the lock that admit takes, too, for the length of this
-- call. If the lock cannot be had, nothing is returned: see _lock_leases.
--
-- While reads are paused, nothing is returned. The function stays after that, and when the limit is
-- switched off: a call that began before may still need it, and pop goes on asking.
CREATE OR REPLACE FUNCTION pgmq._meter_$queue(
    quantity integer,
    condition jsonb,
    kind text,
    group_name text
)
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_space CONSTANT integer := pgmq._lock_space('pgmq.q_$queue');
    v_alone boolean;
    v_ids bigint[] := '{}'::bigint[];
BEGIN
    ASSERT pgmq._may('UPDATE', queue_name$policy, 'pgmq.q_$queue');
    --# if paused_leases
    RETURN '{}'::bigint[];
    --# end
    IF rate_limit$policy IS NULL AND kind IS NULL THEN
        RETURN pgmq._claim(queue_name$policy, quantity, condition);
    END IF;
    LOCK TABLE ONLY pgmq.q_$queue IN ROW EXCLUSIVE MODE;
    --# if schedules
    IF pgmq._is_tick_due('pgmq.tick_due_$queue') THEN
        PERFORM pgmq._fire(queue_name$policy);
    END IF;
    --# end
    BEGIN
        v_alone := pg_try_advisory_lock(v_space, -1) OR pgmq._lock_leases('pgmq.q_$queue');
        IF v_alone THEN
            quantity := least(quantity, (SELECT g.allowance FROM pgmq._gate_$queue('{}') AS g));
        ELSE
            quantity := 0;
        END IF;
        IF quantity > 0 THEN
            IF kind IS NULL THEN
                v_ids := pgmq._claim(queue_name$policy, quantity, condition);
            --# unless max_in_flight_per_group
            ELSIF kind = 'any' THEN
                v_ids := pgmq._claim(queue_name$policy, quantity, condition);
            --# end
            ELSE
                --# if max_in_flight_per_group
                v_ids := pgmq._share_$queue(quantity, condition, kind, group_name);
                --# else
                v_ids := pgmq._fifo_choose(queue_name$policy, quantity, kind, group_name);
                --# end
            END IF;
        END IF;
        IF v_ids <> '{}' THEN
            PERFORM FROM pgmq._gate_$queue(v_ids);
        END IF;
        PERFORM pg_advisory_unlock(v_space, -1) WHERE v_alone;
    EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
        PERFORM pgmq._unlock(v_space, -1);
        RAISE;
    END;
    RETURN v_ids;
END
$$;
