-- Move the low-water marks as far as is safe: no ready message has a smaller msg_id than
-- ready_mark, no parked one a smaller vt than parked_mark (microseconds since 1970), and, where
-- there is an index of FIFO groups, no message at all a smaller msg_id than live_mark. Returns
-- whether a mark was moved back.
--
-- A mark may pass a place only when nobody is left who could still bring a message to it. Whoever
-- inserts or updates holds a RowExclusiveLock on the table before it draws an id or reads the
-- clock. So:
--   1. look: the next id, the time, and then who holds such a lock;
--   2. when all of those have ended (at once on a quiet server, else in a later call of any
--      session: _look_at() keeps the look), whatever lies below that id and that time is committed,
--      visible to a new snapshot, or gone;
--   3. set each mark to the first message that a new snapshot shows, or to what the look saw where
--      there is none.
-- A lock held for longer than the interval of sweeps is no longer waited for, so that a forgotten
-- transaction does not stop the marks. But live_mark waits: a message that it had passed would not
-- hold back those behind it in its group.
--
-- Leases, set_vt and nack never bring a message behind the clock, nor back to ready. A message that
-- no rule covers (an id drawn by hand, a clock set back, a restored dump) is found by a sweep of
-- what lies below the marks, every 10 s (pgmq.sweep_interval, of the database). It begins at the
-- marks, since what a held snapshot keeps from vacuum lies there, and goes down in steps, which
-- become longer as long as they are quick. After a few milliseconds the next call goes on: at most
-- a fiftieth of the time is spent so. sweep_due is when the next sweep is due, or how far one has
-- come that is under way.
--
-- Nobody can take the turn to sweep away from others: a step counts when it is done, and under
-- REPEATABLE READ only in a transaction that has just begun.
--
-- Of a partitioned queue, two more marks say between which partition keys messages are, so that the
-- others' partitions are not touched: floor_mark moves as live_mark does (of a time, it stays five
-- minutes behind: enqueued_at is when a transaction began, which may be before the look), and
-- top_mark is set by a sweep that finds a message beyond the last id drawn, or beyond now. A sweep
-- goes over all its partitions at once, at most a fiftieth of the time, but once a minute at least.
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
    -- Times are microseconds since 1970; what is less than 2001 is no time but a place.
    v_places CONSTANT bigint := 1000000000000000;
    v_budget CONSTANT bigint := 3000;
    v_ready_mark bigint := pgmq._id_mark('pgmq.ready_mark_$queue');
    v_parked_mark timestamptz := pgmq._parked_mark('pgmq.parked_mark_$queue');
    v_next_id CONSTANT bigint := 1 + coalesce(
        pg_sequence_last_value(pg_get_serial_sequence('pgmq.q_$queue', 'msg_id')), 0
    );
    v_now CONSTANT bigint := pgmq._microseconds(clock_timestamp());
    v_sweep_due CONSTANT bigint := coalesce(
        pg_sequence_last_value('pgmq.sweep_due_$queue'), 0
    );
    v_look_due CONSTANT bigint := coalesce(pg_sequence_last_value('pgmq.look_due_$queue'), 0);
    v_committed CONSTANT boolean := current_setting('transaction_isolation') = 'read committed';
    v_interval bigint := 10000000;
    v_longest bigint;
    v_sweep boolean := sweep;
    v_whole boolean := sweep;       -- without a pause
    v_look record;
    v_busy boolean := false;
    v_ready_limit bigint;           -- what looks allow; null while they are no use
    v_parked_limit timestamptz;
    v_live_limit bigint;
    v_ready bigint;
    v_parked timestamptz;
    v_live_mark bigint;
    v_live bigint;
    v_moved boolean := false;
    v_back boolean := false;
    -- A sweep: of ready messages, parked ones, all of them; above which place that is done.
    v_phase integer := 1;
    v_phases integer := 2;
    v_place bigint;
    v_from bigint;
    v_step bigint;
    v_start bigint;
    v_found bigint;
    --# if partitioned
    -- As the marks hold them: ids, or times.
    v_floor_limit bigint;
    v_floor_mark bigint;
    v_floor bigint;
    v_top bigint;
    --# end
BEGIN
    -- FORCE ROW LEVEL SECURITY: the mark must not pass what only others see.
    IF current_setting('transaction_read_only') = 'on' OR row_security_active('pgmq.q_$queue') THEN
        RETURN false;
    END IF;
    v_longest := v_interval;
    --# if partitioned
    v_whole := true;
    v_longest := 60000000;
    --# end
    IF v_sweep_due > v_now + v_longest THEN
        -- Unless it is configured so, the clock was set back.
        v_interval := pgmq._sweep_interval();
        v_longest := greatest(v_interval, v_longest);
    END IF;
    v_sweep := v_sweep OR v_sweep_due NOT BETWEEN v_now + 1 AND v_now + v_longest;
    -- Nearly always: whoever takes looks that nobody else sees does not keep others from theirs.
    IF NOT sweep AND (NOT v_sweep OR v_sweep_due < v_places AND v_sweep_due <> 0)
        AND v_now BETWEEN v_look_due - 1000000 AND v_look_due - 1 AND random() * 16 > 1
    THEN
        RETURN false;
    END IF;
    -- An old snapshot shows too little, and what was consumed since. Such a call only steps in
    -- where nobody else has swept for long.
    IF NOT v_committed AND now() < clock_timestamp() - interval '1 second' THEN
        v_sweep := v_sweep
            AND greatest(v_look_due, v_sweep_due)
                NOT BETWEEN v_now - 30000000 AND v_now + v_longest;
        IF NOT v_sweep THEN
            RETURN false;
        END IF;
    END IF;
    IF v_parked_mark > clock_timestamp() THEN
        -- The clock was set back: what has been leased since may be anywhere below.
        v_parked_mark := to_timestamp(0);
        PERFORM setval('pgmq.parked_mark_$queue', 0);
        v_moved := true;
        v_back := true;
    END IF;

    -- A transaction that has written would take its own leases for consumed messages, and an old
    -- snapshot shows too little: they can only move a mark back.
    IF v_committed AND pg_current_xact_id_if_assigned() IS NULL THEN
        SELECT * INTO v_look FROM pgmq._look_at('pgmq.q_$queue') AS l;
        v_busy := v_look.busy IS NOT FALSE;
        IF v_busy THEN
            v_ready_limit := v_look.ready_limit;
            v_live_limit := v_look.live_limit;
            v_parked_limit := to_timestamp(v_look.parked_limit / 1e6);
        ELSE
            v_ready_limit := v_next_id;
            v_live_limit := v_next_id;
            v_parked_limit := to_timestamp(v_now / 1e6);
        END IF;
    END IF;
    --# if partitioned
    IF v_live_limit IS NOT NULL THEN
        v_floor_limit := v_live_limit;
        --# if by_time
        v_floor_limit := pgmq._microseconds(v_parked_limit - interval '5 minutes');
        --# end
    END IF;
    --# end

    -- Forwards; a sweep also looks into the partitions that marks leave out. setval gives this
    -- transaction an xid: an idle queue's polls do it seldom.
    v_ready := v_ready_mark;
    v_parked := v_parked_mark;
    IF v_ready_limit > v_ready_mark THEN
        v_ready := least(v_ready_limit, (
            SELECT q.msg_id FROM pgmq.q_$queue AS q
            WHERE q.vt <= q.enqueued_at AND q.msg_id >= v_ready_mark
                --# if partitioned
                AND CASE WHEN v_sweep THEN true ELSE $live(q) AND true END
                --# end
            ORDER BY q.msg_id
            LIMIT 1
        ));
    END IF;
    -- No further than the look's time: what lies behind is leased, and dead once acknowledged.
    IF v_parked_limit > v_parked_mark THEN
        v_parked := least(v_parked_limit, (
            SELECT q.vt FROM pgmq.q_$queue AS q
            WHERE q.vt > q.enqueued_at AND q.vt BETWEEN v_parked_mark AND v_parked_limit
                --# if partitioned
                AND CASE WHEN v_sweep THEN true ELSE $live(q) AND true END
                --# end
            ORDER BY q.vt
            LIMIT 1
        ));
    END IF;
    IF to_regclass('pgmq.live_mark_$queue') IS NOT NULL THEN
        v_live_mark := pgmq._id_mark('pgmq.live_mark_$queue');
        v_live := v_live_mark;
        v_phases := 3;
        IF v_live_limit > v_live_mark THEN
            v_live := least(v_live_limit, (
                SELECT q.msg_id FROM pgmq.q_$queue AS q
                WHERE q.msg_id >= v_live_mark
                    --# if partitioned
                    AND CASE WHEN v_sweep THEN true ELSE $live(q) AND true END
                    --# end
                ORDER BY q.msg_id
                LIMIT 1
            ));
        END IF;
    END IF;

    -- Backwards, from the marks as they were. What a step passes is done in this sweep.
    IF v_sweep THEN
        IF v_sweep_due >= v_places OR sweep OR v_ready_mark >= v_places THEN
            NULL;
        ELSIF v_sweep_due > 0 THEN
            v_place := v_sweep_due;
        ELSIF v_sweep_due < -10 * v_places THEN
            v_phase := 3;
            v_place := -10 * v_places - v_sweep_due;
        ELSIF v_sweep_due < 0 THEN
            v_phase := 2;
            v_place := -v_sweep_due;
        END IF;
        v_whole := v_whole OR v_next_id >= v_places;
        v_start := v_now;
        <<phases>>
        WHILE v_phase <= v_phases LOOP
            v_place := least(v_place, CASE v_phase
                WHEN 1 THEN v_ready_mark
                WHEN 2 THEN pgmq._microseconds(v_parked_mark)
                ELSE v_live_mark
            END);
            v_step := CASE v_phase WHEN 2 THEN 100000 ELSE 4096 END;
            LOOP
                -- Below 1 there is little: ids by hand, times before 1970.
                v_from := CASE
                    WHEN v_whole OR v_place <= v_step THEN '-9223372036854775808'::bigint
                    ELSE v_place - v_step
                END;
                CASE v_phase
                    WHEN 1 THEN
                        v_found := (
                            SELECT q.msg_id FROM pgmq.q_$queue AS q
                            WHERE q.vt <= q.enqueued_at
                                AND q.msg_id >= v_from AND q.msg_id < v_place
                            ORDER BY q.msg_id
                            LIMIT 1
                        );
                        v_ready := least(v_ready, v_found);
                    WHEN 2 THEN
                        v_parked := least(v_parked, (
                            SELECT q.vt FROM pgmq.q_$queue AS q
                            WHERE q.vt > q.enqueued_at
                                AND q.vt >= CASE
                                    WHEN v_from < 0 THEN '-infinity' ELSE to_timestamp(v_from / 1e6)
                                END
                                -- Half a microsecond is lost in between.
                                AND q.vt < to_timestamp(v_place / 1e6) + interval '1 microsecond'
                            ORDER BY q.vt
                            LIMIT 1
                        ));
                    ELSE
                        v_found := (
                            SELECT q.msg_id FROM pgmq.q_$queue AS q
                            WHERE q.msg_id >= v_from AND q.msg_id < v_place
                            ORDER BY q.msg_id
                            LIMIT 1
                        );
                        v_live := least(v_live, v_found);
                END CASE;
                EXIT WHEN v_from < 0;
                v_place := v_from;
                v_found := pgmq._microseconds(clock_timestamp());
                EXIT phases WHEN v_found NOT BETWEEN v_now AND v_now + v_budget;
                v_step := CASE
                    WHEN v_found - v_start > 1000 THEN greatest(v_step / 4, 64)
                    WHEN v_found - v_start < 200 THEN v_step * 16
                    ELSE v_step
                END;
                v_start := v_found;
            END LOOP;
            v_phase := v_phase + 1;
            v_place := null;
        END LOOP phases;
    END IF;

    -- Not forwards from where another has just moved it back.
    IF v_ready < v_ready_mark
        OR v_ready > v_ready_mark AND v_ready_mark = pgmq._id_mark('pgmq.ready_mark_$queue')
    THEN
        v_moved := true;
        PERFORM setval('pgmq.ready_mark_$queue', v_ready);
    END IF;
    -- A second more does not matter, and is no reason for a transaction to have an xid.
    IF v_parked < v_parked_mark
        OR (v_parked > v_parked_mark + interval '1 second' OR v_moved AND v_parked > v_parked_mark)
        AND v_parked_mark = pgmq._parked_mark('pgmq.parked_mark_$queue')
    THEN
        v_moved := true;
        PERFORM setval('pgmq.parked_mark_$queue', pgmq._microseconds(v_parked));
    END IF;
    IF v_live <> v_live_mark THEN
        IF v_live < v_live_mark OR v_live_mark = pgmq._id_mark('pgmq.live_mark_$queue') THEN
            PERFORM setval('pgmq.live_mark_$queue', v_live);
        END IF;
    END IF;
    v_back := v_back OR v_ready < v_ready_mark OR v_parked < v_parked_mark;

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
    v_back := v_back OR coalesce(v_floor < v_floor_mark, false) OR v_top IS NOT NULL;
    --# end

    v_found := greatest(pgmq._microseconds(clock_timestamp()) - v_now, 0);
    IF v_sweep AND v_phase > v_phases THEN
        v_interval := pgmq._sweep_interval();
        --# if partitioned
        v_interval := greatest(v_interval, least(60000000, 51 * v_found));
        --# end
        PERFORM setval('pgmq.sweep_due_$queue', v_now + CASE
            WHEN v_committed OR now() > clock_timestamp() - interval '1 second' THEN v_interval
            ELSE 0
        END);
    ELSIF v_sweep THEN
        PERFORM setval('pgmq.sweep_due_$queue', CASE v_phase
            WHEN 1 THEN v_place
            WHEN 2 THEN -v_place
            ELSE -10 * v_places - v_place
        END);
    END IF;
    IF v_moved OR v_busy OR v_sweep THEN
        PERFORM setval('pgmq.look_due_$queue', v_now + least(
            1000000, CASE WHEN v_sweep THEN 51 ELSE 21 END * v_found
        ));
    END IF;
    RETURN v_back;
END
$$;
