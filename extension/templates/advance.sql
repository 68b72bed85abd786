-- Move the low-water marks as far as is safe: no ready message has a smaller msg_id than
-- ready_mark, no parked one a smaller vt than parked_mark (microseconds since 1970), and, where
-- there is an index of FIFO groups, no message at all a smaller msg_id than live_mark. Returns
-- whether a sweep found messages that one of the first two had passed.
--
-- A mark may pass a place only when nobody is left who could still bring a message to it. Whoever
-- inserts or updates holds a RowExclusiveLock on the table before it draws an id or reads the
-- clock. So:
--   1. look: the next id, the time, and then who holds such a lock;
--   2. when all of those have ended (at once on a quiet server, else in a later call of this
--      session: the look waits in a custom setting), whatever lies below that id and that time is
--      committed, visible to a new snapshot, or gone;
--   3. set each mark to the first message that a new snapshot shows, or to what the look saw where
--      there is none.
--
-- Leases, set_vt and nack never bring a message behind the clock, nor back to ready. A message that
-- no rule covers (an id drawn by hand, a clock set back, a restored dump) is found by a sweep from
-- the start. It runs when asked for, and every pgmq.sweep_interval (10 s unless set), less often
-- where it is slow: at most a fiftieth of the time, at least every ten minutes. A lock held for
-- longer than that interval is no longer waited for, so that a forgotten transaction does not stop
-- the marks; what it commits in the end, the sweep finds. But live_mark waits: a message that it
-- had passed would not hold back those behind it in its group.
--
-- Of a partitioned queue, two more marks say between which partition keys messages are, so that the
-- others' partitions are not touched: floor_mark moves as live_mark does (of a time, it stays five
-- minutes behind: enqueued_at is when a transaction began, which may be before the look), and
-- top_mark is set by a sweep that finds a message beyond the last id drawn, or beyond now.
--
-- The list of locks grows with the number of sessions: looks take at most a twentieth of the time.
CREATE OR REPLACE FUNCTION pgmq._advance_$queue(sweep boolean DEFAULT false)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    -- Times are microseconds since 1970.
    v_interval CONSTANT bigint := 1000000 * extract(epoch FROM coalesce(
        nullif(current_setting('pgmq.sweep_interval', true), '')::interval, '10 s'
    ));
    v_longest CONSTANT bigint := greatest(v_interval, 600000000);
    v_now CONSTANT bigint := pgmq._microseconds(clock_timestamp());
    v_sweep_due CONSTANT bigint := coalesce(
        pg_sequence_last_value('pgmq.sweep_due_$queue'), 0
    );
    v_look_due CONSTANT bigint := coalesce(pg_sequence_last_value('pgmq.look_due_$queue'), 0);
    -- A time that is too far ahead was set before the clock was set back.
    v_sweep CONSTANT boolean := sweep
        OR v_now NOT BETWEEN v_sweep_due - v_longest AND v_sweep_due - 1;
    v_queue oid;
    v_setting text;
    v_ready_mark bigint;
    v_parked_mark timestamptz;
    v_next_id bigint;
    v_look text[];
    v_holders text[];
    v_ready_limit bigint;       -- what the look allows; null while it is no use
    v_parked_limit timestamptz;
    v_live_limit bigint;
    v_ready bigint;
    v_parked timestamptz;
    v_live_mark bigint;
    v_live bigint;
    v_moved boolean;
    --# if partitioned
    -- As the marks hold them: ids, or times.
    v_floor_limit bigint;
    v_floor_mark bigint;
    v_floor bigint;
    v_top bigint;
    --# end
BEGIN
    IF NOT v_sweep AND v_now BETWEEN v_look_due - 1000000 AND v_look_due - 1 THEN
        RETURN false;
    END IF;
    -- FORCE ROW LEVEL SECURITY: the mark must not pass what only others see.
    IF row_security_active('pgmq.q_$queue') THEN
        RETURN false;
    END IF;
    v_ready_mark := pgmq._id_mark('pgmq.ready_mark_$queue');
    v_parked_mark := pgmq._parked_mark('pgmq.parked_mark_$queue');

    -- A transaction that has written would take its own leases for consumed messages, and an old
    -- snapshot shows too little: they can only move a mark back.
    IF pg_current_xact_id_if_assigned() IS NULL
        AND current_setting('transaction_isolation') = 'read committed'
    THEN
        v_queue := 'pgmq.q_$queue'::regclass;
        v_setting := format('pgmq.look_%s', v_queue);   -- a setting's name must be an identifier
        v_look := string_to_array(nullif(current_setting(v_setting, true), ''), ' ');
        v_next_id := 1 + coalesce(
            pg_sequence_last_value(pg_get_serial_sequence('pgmq.q_$queue', 'msg_id')), 0
        );
        v_holders := pgmq._writers(v_queue);
        IF v_holders = '{}' THEN
            v_ready_limit := v_next_id;
            v_live_limit := v_next_id;
            v_parked_limit := to_timestamp(v_now / 1e6);
            v_look := null;
        ELSE
            IF NOT v_look[3:] && v_holders THEN
                v_live_limit := least(v_look[1]::bigint, v_next_id);
            END IF;
            IF v_live_limit IS NOT NULL OR v_now > v_look[2]::bigint + v_interval THEN
                -- Whatever somebody has put into the setting, no further than now.
                v_ready_limit := least(v_look[1]::bigint, v_next_id);
                v_parked_limit := to_timestamp(least(v_look[2]::bigint, v_now) / 1e6);
                v_look := null;
            END IF;
            v_look := coalesce(v_look, ARRAY[v_next_id::text, v_now::text] || v_holders);
        END IF;
        PERFORM set_config(v_setting, coalesce(array_to_string(v_look, ' '), ''), false);
    END IF;

    --# if partitioned
    IF v_live_limit IS NOT NULL THEN
        v_floor_limit := v_live_limit;
        --# if by_time
        v_floor_limit := pgmq._microseconds(v_parked_limit - interval '5 minutes');
        --# end
    END IF;
    --# end
    -- setval gives this transaction an xid: an idle queue's polls do it seldom.
    IF v_sweep THEN
        PERFORM setval('pgmq.sweep_due_$queue', v_now + v_interval);    -- others need not sweep too
        v_ready_limit := coalesce(v_ready_limit, v_ready_mark);
        v_parked_limit := coalesce(v_parked_limit, v_parked_mark);
    ELSIF v_ready_limit IS NOT NULL THEN
        v_ready_limit := greatest(v_ready_limit, v_ready_mark);         -- another may be further
        v_parked_limit := greatest(v_parked_limit, v_parked_mark);
    END IF;
    IF v_ready_limit IS NOT NULL THEN
        v_ready := least(v_ready_limit, (
            SELECT q.msg_id FROM pgmq.q_$queue AS q
            WHERE q.vt <= q.enqueued_at
                --# if partitioned
                AND CASE WHEN v_sweep THEN true ELSE $live(q) AND true END
                --# end
                AND q.msg_id >= CASE
                    WHEN v_sweep THEN '-9223372036854775808'::bigint
                    ELSE v_ready_mark
                END
            ORDER BY q.msg_id
            LIMIT 1
        ));
        -- No further than the look's time: what lies behind is leased, and dead once acknowledged.
        v_parked := least(v_parked_limit, (
            SELECT q.vt FROM pgmq.q_$queue AS q
            WHERE q.vt > q.enqueued_at
                --# if partitioned
                AND CASE WHEN v_sweep THEN true ELSE $live(q) AND true END
                --# end
                AND q.vt BETWEEN CASE
                    WHEN v_sweep THEN to_timestamp(0)
                    ELSE v_parked_mark
                END AND v_parked_limit
            ORDER BY q.vt
            LIMIT 1
        ));
        v_moved := v_ready <> v_ready_mark
            OR v_parked NOT BETWEEN v_parked_mark AND v_parked_mark + interval '1 second';
        IF v_moved THEN
            PERFORM setval('pgmq.ready_mark_$queue', v_ready),
                setval('pgmq.parked_mark_$queue', pgmq._microseconds(v_parked));
        END IF;
    END IF;

    IF (v_sweep OR v_live_limit IS NOT NULL) AND to_regclass('pgmq.live_mark_$queue') IS NOT NULL THEN
        v_live_mark := pgmq._id_mark('pgmq.live_mark_$queue');
        v_live := least(greatest(v_live_limit, v_live_mark), (
            SELECT q.msg_id FROM pgmq.q_$queue AS q
            WHERE q.msg_id >= CASE
                    WHEN v_sweep THEN '-9223372036854775808'::bigint
                    ELSE v_live_mark
                END
                --# if partitioned
                AND CASE WHEN v_sweep THEN true ELSE $live(q) AND true END
                --# end
            ORDER BY q.msg_id
            LIMIT 1
        ));
        IF v_live <> v_live_mark THEN
            PERFORM setval('pgmq.live_mark_$queue', v_live);
        END IF;
    END IF;

    --# if partitioned
    IF v_sweep OR v_floor_limit IS NOT NULL THEN
        v_floor_mark := pgmq._id_mark('pgmq.floor_mark_$queue');
        v_floor := least(greatest(v_floor_limit, v_floor_mark), (
            SELECT pgmq._partition_key(q.$key) FROM pgmq.q_$queue AS q
            WHERE CASE WHEN v_sweep THEN true ELSE $live(q) AND true END
            ORDER BY q.$key
            LIMIT 1
        ));
        IF v_floor <> v_floor_mark THEN
            PERFORM setval('pgmq.floor_mark_$queue', v_floor);
        END IF;
    END IF;
    IF v_sweep THEN
        v_top := (
            SELECT pgmq._partition_key(q.$key) FROM pgmq.q_$queue AS q
            WHERE q.$key > $top AND v_sweep
            ORDER BY q.$key DESC
            LIMIT 1
        );
        IF v_top IS NOT NULL THEN
            PERFORM setval('pgmq.top_mark_$queue', v_top);
        END IF;
    END IF;
    --# end

    IF v_sweep THEN
        PERFORM setval('pgmq.sweep_due_$queue', v_now + greatest(
            v_interval, least(v_longest, 51 * (pgmq._microseconds(clock_timestamp()) - v_now))
        ));
    ELSIF v_moved OR v_holders <> '{}' THEN
        PERFORM setval('pgmq.look_due_$queue', v_now + least(
            1000000, 21 * (pgmq._microseconds(clock_timestamp()) - v_now)
        ));
    END IF;
    RETURN coalesce(v_ready < v_ready_mark OR v_parked < v_parked_mark, false)
        --# if partitioned
        OR coalesce(v_floor < v_floor_mark, false) OR v_top IS NOT NULL
        --# end
        ;
END
$$;
