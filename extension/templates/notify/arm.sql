--# for wakeups
-- Return when to look again at the latest: when the next message falls due, or when the given
-- seconds are over. Until then commits that bring messages are announced: the queue is armed. The
-- time is only a tenth of a second away if
--   * a transaction that writes to the queue has not ended: it may have found the queue unarmed and
--     will then announce nothing (an insert locks the table before it looks whether the queue is
--     armed, and keeps the lock until its messages are visible);
--   * a message is visible already: if the caller does not find it when it looks once more, another
--     transaction has it, or its group is closed;
--   * another session is arming the queue: if two compare and set at once, one could set it back.
CREATE OR REPLACE FUNCTION pgmq._arm_$queue(seconds integer)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- At most 5 seconds for callers that may not read: anybody may call this, it cannot be undone,
    -- and commits cost more meanwhile.
    v_until CONSTANT timestamptz := clock_timestamp() + make_interval(secs => least(
        seconds, CASE WHEN pgmq._is_user('pgmq.q_$queue', 'SELECT') THEN 3600 ELSE 5 END
    ));
    v_soon CONSTANT interval := interval '0.1 seconds';
    v_next timestamptz;
    v_sure boolean := true;
    v_armed CONSTANT bigint := pgmq._microseconds(v_until);
    v_space CONSTANT integer := pgmq._lock_space('pgmq.q_$queue');
BEGIN
    PERFORM FROM pgmq.q_$queue WHERE false;     -- locked first: see drop_queue
    -- Never set it to an earlier time: other consumers may wait for longer.
    IF v_armed > coalesce(pg_sequence_last_value('pgmq.armed_until_$queue'), 0) THEN
        -- A lock of the session, held only here: the transaction may stay open for long.
        BEGIN
            v_sure := pg_try_advisory_lock(v_space, -4);
            IF v_sure AND v_armed > coalesce(pg_sequence_last_value('pgmq.armed_until_$queue'), 0) THEN
                PERFORM setval('pgmq.armed_until_$queue', v_armed);
            END IF;
            PERFORM pg_advisory_unlock(v_space, -4) WHERE v_sure;
        EXCEPTION WHEN OTHERS OR query_canceled THEN
            PERFORM pgmq._unlock(v_space, -4);
            RAISE;
        END;
    END IF;
    --# if paused_reads
    RETURN v_until;     -- resume() wakes all who wait
    --# end
    --# if leases
    v_next := pgmq._next(queue_name$policy, v_until);
    IF v_next <= clock_timestamp() THEN
        v_next := clock_timestamp() + v_soon;
    END IF;
    --# else
    -- Then the lease of a lane ends, or its delay.
    SELECT min(l.vt) INTO v_next
    FROM pgmq._lanes(queue_name$policy) AS l
    WHERE l.vt > clock_timestamp();
    --# if schedules
    --# unless paused_sends
    v_next := least(v_next, (
        SELECT min(CASE
            WHEN t.next_at > clock_timestamp() THEN t.next_at
            ELSE clock_timestamp() + v_soon
        END)
        FROM pgmq._ticks_of(queue_name$policy) AS t (next_at)
        WHERE t.next_at IS NOT NULL
    ));
    --# end
    --# end
    --# end
    IF NOT v_sure OR (pgmq._writing('pgmq.q_$queue')).writers <> '{}' THEN
        v_next := least(v_next, clock_timestamp() + v_soon);
    END IF;
    RETURN least(v_until, v_next);
END
$$;
