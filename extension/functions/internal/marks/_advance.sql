-- No ready message has a smaller msg_id than ready_mark, no parked one a smaller vt than
-- parked_mark (microseconds since 1970), and, where there is an index of FIFO groups, no message at
-- all a smaller msg_id than live_mark.
--
-- A mark may pass a place only when no transaction is left that could still bring a message to it.
-- A transaction that inserts or updates holds a RowExclusiveLock on the table before it draws an id
-- or reads the clock. So:
--   1. look: take the next id, the time, and then the transactions that hold such a lock;
--   2. when all of those have ended (at once on a quiet server, else in a later call of any
--      session: _look_at() keeps the look), every message below that id and that time is committed
--      and visible to a new snapshot, or gone;
--   3. set each mark to the first message that a new snapshot shows or, if there is none, to the id
--      or time of the look.
-- A lock that is held for longer than the interval of sweeps is no longer waited for, so that a
-- forgotten transaction does not stop the marks. Only live_mark waits: a message that it had passed
-- would not hold back the messages behind it in its group.
--
-- Leases, set_vt and nack never bring a message behind the clock, nor back to ready. A message that
-- no rule covers (an id drawn by hand, a clock set back, a restored dump) is found by a sweep:
-- every 10 s (pgmq.sweep_interval, of the database) the messages below the marks are looked at. A
-- sweep begins at the marks, where dead rows that a held snapshot keeps from vacuum lie, and goes
-- down in steps, which become longer as long as they are quick. After a few milliseconds it leaves
-- the rest to a later call. Sweeps take at most a fiftieth of the time.
--
-- sweep_due is when the next sweep is due (microseconds since 1970). While a sweep is under way it
-- is negative and says how far the sweep has come. Of the number without its sign, the first two
-- bits are what is swept (1 ready messages, 2 parked ones, 3 all), the next 13 are when to go on
-- (64ths of a second, modulo their range), and the last 48 are the place above which all is done
-- (an id, or a time in units of 16 microseconds).
--
-- No session can keep others from sweeping: a step counts only when it is done, and under
-- REPEATABLE READ only in a transaction that has just begun.
--
-- A partitioned queue has two more marks, the bounds of the partition keys of its messages, so that
-- other partitions are not touched. floor_mark moves as live_mark does; a floor_mark that is a time
-- stays five minutes behind, since enqueued_at is when a transaction began, which may be before the
-- look. top_mark is set by a sweep that finds a message beyond the last id drawn, or beyond now. A
-- sweep goes over all partitions at once, in at most a fiftieth of the time, but at least once a
-- minute.
--
-- This function is common to all queues, and called seldom: the statements that look at the queue's
-- table are planned on each call, for the values of that call. The values stand in subqueries:
-- otherwise the planner would look them up in the indexes, from the ends with the dead entries.
CREATE OR REPLACE FUNCTION pgmq._advance(
    queue regclass,
    ready_mark regclass,
    parked_mark regclass,
    sweep_due regclass,
    sweep boolean
)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    -- Times are in microseconds.
    v_budget CONSTANT bigint := 3000;           -- of a call, for a sweep
    v_pause CONSTANT integer := 51;             -- times what a part of a sweep took is the next one
    v_minute CONSTANT bigint := 60000000;
    v_tick CONSTANT bigint := 15625;            -- a 64th of a second, see sweep_due above
    v_ticks CONSTANT bigint := 8191;            -- its 13 bits
    v_places CONSTANT bigint := 281474976710655;        -- and the 48 bits of the place
    v_now CONSTANT bigint := pgmq._microseconds(clock_timestamp());
    v_ready_mark CONSTANT bigint := pgmq._id_mark(ready_mark);
    v_parked_mark timestamptz := pgmq._parked_mark(parked_mark);
    v_sweep_due CONSTANT bigint := coalesce(pg_sequence_last_value(sweep_due), 0);
    v_next_id bigint;
    v_committed CONSTANT boolean := current_setting('transaction_isolation') = 'read committed';
    v_may_look CONSTANT boolean := v_committed AND pg_current_xact_id_if_assigned() IS NULL;
    v_queue record;
    v_interval bigint := 10000000;
    v_longest bigint;
    v_sweep boolean := sweep;
    v_whole boolean := sweep;       -- without a pause
    v_moment CONSTANT bigint := v_now / v_tick;
    v_look record;
    v_ready_limit bigint;           -- what looks allow; null while they are no use
    v_parked_limit timestamptz;
    v_live_limit bigint;
    v_new_ready bigint;
    v_new_parked timestamptz;
    v_live_name regclass;
    v_live_mark bigint;
    v_new_live bigint;
    v_is_ranked boolean;
    v_top_ready bigint := v_ready_mark;         -- the greatest marks, those of priorities included
    v_top_parked timestamptz := v_parked_mark;
    v_moved boolean := false;
    v_back boolean := false;
    v_phase bigint := 1;
    v_phases bigint := 2;
    v_mark bigint;
    v_place bigint;
    v_from bigint;
    v_step bigint;
    v_start bigint;
    v_found bigint;
    v_found_time timestamptz;
    -- For a partitioned queue, in the units of its marks: ids, or times.
    v_live_parts text := '';
    v_key name;
    v_first_key text;
    v_last_key text;
    v_floor_name regclass;
    v_floor_limit bigint;
    v_floor_mark bigint;
    v_new_floor bigint;
    v_top bigint;
BEGIN
    SELECT
        q.relkind = 'p' AS is_partitioned,
        substr(m.relname, length('ready_mark_') + 1) AS suffix
    INTO v_queue
    FROM pg_class AS q
    INNER JOIN pg_class AS m ON m.oid = ready_mark
    WHERE q.oid = queue;
    v_longest := CASE WHEN v_queue.is_partitioned THEN v_minute ELSE v_interval END;
    IF v_sweep_due > v_now + v_longest THEN
        -- The due time is too far ahead: either the interval is configured to be longer than the
        -- default, or the clock was set back.
        v_interval := pgmq._sweep_interval();
        v_longest := greatest(v_interval, v_longest);
    END IF;
    IF v_sweep_due < 0 THEN
        v_place := -v_sweep_due;
        v_phase := v_place >> 61;
        -- The time to go on is at most a second ahead.
        v_start := ((v_place >> 48) - v_moment) & v_ticks;
        v_place := v_place & v_places;
        v_sweep := v_sweep OR v_start NOT BETWEEN 1 AND 65;
    ELSE
        v_sweep := v_sweep OR v_sweep_due NOT BETWEEN v_now + 1 AND v_now + v_longest;
    END IF;
    -- An old snapshot lacks new messages and still shows consumed ones. Such a call only helps out
    -- if nobody else has swept for half a minute.
    IF NOT v_committed AND now() < clock_timestamp() - interval '1 second' THEN
        v_sweep := v_sweep AND CASE
            WHEN v_sweep_due < 0 THEN v_start BETWEEN 66 AND v_ticks + 1 - 30 * 64
            ELSE v_sweep_due NOT BETWEEN v_now - v_minute / 2 AND v_now + v_longest
        END;
        IF NOT v_sweep THEN
            RETURN false;
        END IF;
    END IF;
    -- Under FORCE ROW LEVEL SECURITY the mark could pass messages that only others see.
    IF current_setting('transaction_read_only') = 'on' OR row_security_active(queue) THEN
        RETURN false;
    END IF;
    v_is_ranked := pgmq._has_ranks(v_queue.suffix);
    IF v_is_ranked THEN
        SELECT
            greatest(v_top_ready, max(pgmq._id_mark(m.ready_mark))),
            greatest(v_top_parked, max(pgmq._parked_mark(m.parked_mark)))
        INTO v_top_ready, v_top_parked
        FROM pgmq._priority_marks(v_queue.suffix) AS m;
    END IF;
    -- By the clock of now: others may have moved the marks since this call began.
    v_found := pgmq._microseconds(clock_timestamp()) - pgmq._microseconds(v_top_parked);
    IF v_found < 0 THEN
        -- The clock was set back: messages leased since then may be anywhere below.
        v_parked_mark := to_timestamp(0);
        v_top_parked := v_parked_mark;
        PERFORM setval(parked_mark, 0);
        PERFORM setval(m.parked_mark, 0) FROM pgmq._priority_marks(v_queue.suffix) AS m;
        v_moved := true;
        v_back := true;
    ELSIF NOT v_sweep THEN
        -- A transaction that has written would take its own leases for consumed messages, and an
        -- old snapshot shows too little. Usually little has arrived since the marks were moved.
        -- That was at the time that parked_mark holds, unless a due message lies there.
        IF NOT v_may_look
            OR v_found < 10000
            OR v_found < 100000 AND v_queue.is_partitioned
        THEN
            RETURN false;
        END IF;
    END IF;
    v_next_id := 1 + coalesce(
        pg_sequence_last_value(pg_get_serial_sequence(queue::text, 'msg_id')), 0
    );
    IF NOT v_sweep AND NOT v_back AND v_found < 1000000 AND v_next_id - 128 < v_top_ready THEN
        RETURN false;
    END IF;

    IF v_may_look THEN
        SELECT * INTO v_look FROM pgmq._look_at(queue) AS l;
        -- If another session has looked just now, it has moved the marks, as a rule.
        IF v_look.busy IS NULL AND NOT v_sweep AND NOT v_back AND random() > 0.125 THEN
            RETURN false;
        END IF;
        IF v_look.busy IS NOT FALSE THEN
            v_ready_limit := v_look.ready_limit;
            v_live_limit := v_look.live_limit;
            v_parked_limit := to_timestamp(v_look.parked_limit / 1e6);
        ELSE
            v_ready_limit := v_next_id;
            v_live_limit := v_next_id;
            v_parked_limit := to_timestamp(v_now / 1e6);
        END IF;
    END IF;
    IF v_queue.is_partitioned THEN
        v_whole := true;
        SELECT b.key, b.first, b.last INTO v_key, v_first_key, v_last_key
        FROM pgmq._bounds(queue, v_queue.suffix) AS b;
        v_floor_limit := v_live_limit;
        IF v_key = 'enqueued_at' THEN
            v_floor_limit := pgmq._microseconds(v_parked_limit - pgmq._floor_slack());
        END IF;
        -- Only a sweep also looks into the partitions outside the marks.
        IF NOT v_sweep THEN
            v_live_parts := format(
                'q.%I BETWEEN %s AND %s AND ', v_key, v_first_key, v_last_key
            );
        END IF;
    END IF;

    -- Forwards. The parked mark goes no further than the look's time: the entries behind it are
    -- leases, which are dead once acknowledged.
    v_live_name := to_regclass(format('pgmq.%I', 'live_mark_' || v_queue.suffix));
    IF v_live_name IS NOT NULL THEN
        v_live_mark := pgmq._id_mark(v_live_name);
        v_phases := 3;
    END IF;
    v_new_ready := v_ready_mark;
    v_new_parked := v_parked_mark;
    v_new_live := v_live_mark;
    IF v_ready_limit > v_ready_mark OR v_parked_limit > v_parked_mark OR v_live_limit > v_live_mark
    THEN
        EXECUTE concat(
            'SELECT ',
            CASE WHEN v_ready_limit > v_ready_mark THEN format(
                '(SELECT q.msg_id FROM %s AS q WHERE %s q.vt <= q.enqueued_at'
                ' AND q.msg_id >= (SELECT $1) ORDER BY q.msg_id LIMIT 1)', queue, v_live_parts
            ) ELSE 'null' END,
            CASE WHEN v_parked_limit > v_parked_mark THEN format(
                ', (SELECT q.vt FROM %s AS q WHERE %s q.vt > q.enqueued_at'
                ' AND q.vt >= (SELECT $2) AND q.vt <= (SELECT $3) ORDER BY q.vt LIMIT 1)',
                queue, v_live_parts
            ) ELSE ', null' END,
            CASE WHEN v_live_limit > v_live_mark THEN format(
                ', (SELECT q.msg_id FROM %s AS q WHERE %s q.msg_id >= (SELECT $4)'
                ' ORDER BY q.msg_id LIMIT 1)', queue, v_live_parts
            ) ELSE ', null' END
        )
        INTO v_found, v_found_time, v_start
        USING v_ready_mark, v_parked_mark, v_parked_limit, v_live_mark;
        IF v_ready_limit > v_ready_mark THEN
            v_new_ready := least(v_ready_limit, v_found);
        END IF;
        IF v_parked_limit > v_parked_mark THEN
            v_new_parked := least(v_parked_limit, v_found_time);
        END IF;
        IF v_live_limit > v_live_mark THEN
            v_new_live := least(v_live_limit, v_start);
        END IF;
    END IF;

    IF v_is_ranked AND v_ready_limit IS NOT NULL THEN
        PERFORM pgmq._move_rank_marks(
            queue, v_queue.suffix, v_live_parts, v_ready_limit, v_parked_limit
        );
    END IF;

    -- Backwards, from the marks as they were. This sweep does not come back to what a step passed.
    IF v_sweep THEN
        -- Where little can lie below the marks, it is looked at in one step: on a slow machine, each
        -- step takes longer than what it looks at.
        v_whole := v_whole OR pg_indexes_size(queue) <= 524288;
        IF v_sweep_due >= 0 OR v_whole OR v_phase = 0 THEN       -- 0: 2.0.0 noted places otherwise
            v_phase := 1;
            v_place := null;
        ELSIF v_phase = 2 THEN
            v_place := v_place << 4;
        END IF;
        v_whole := v_whole OR greatest(v_next_id, v_top_ready, v_live_mark) > v_places;
        v_start := v_now;
        <<phases>>
        WHILE v_phase <= v_phases LOOP
            v_mark := CASE v_phase
                WHEN 1 THEN v_top_ready
                WHEN 2 THEN pgmq._microseconds(v_top_parked)
                ELSE v_live_mark
            END;
            v_place := least(v_place, v_mark);
            -- Steps become longer on the way down: a sweep must also end on a slow machine, where a
            -- call has time for only one step.
            v_step := greatest(
                CASE v_phase WHEN 2 THEN 100000 ELSE 4096 END, (v_mark - v_place) / 16
            );
            LOOP
                -- There is little below 1: only ids drawn by hand, or times before 1970.
                v_from := CASE
                    WHEN v_whole OR v_place <= v_step THEN '-9223372036854775808'::bigint
                    ELSE v_place - v_step
                END;
                IF v_is_ranked AND v_phase = 1 THEN
                    v_found := pgmq._sweep_priorities(
                        queue, v_queue.suffix, v_from, v_place, v_ready_mark
                    );
                    v_new_ready := least(v_new_ready, v_found);
                    v_back := v_back OR v_found IS NOT NULL;
                ELSIF v_is_ranked AND v_phase = 2 THEN
                    v_found_time := pgmq._sweep_priorities(
                        queue, v_queue.suffix,
                        CASE WHEN v_from < 0 THEN '-infinity' ELSE to_timestamp(v_from / 1e6) END,
                        to_timestamp(v_place / 1e6) + interval '1 microsecond', v_parked_mark
                    );
                    v_new_parked := least(v_new_parked, v_found_time);
                    v_back := v_back OR v_found_time IS NOT NULL;
                ELSIF v_phase = 2 THEN
                    EXECUTE format(
                        'SELECT q.vt FROM %s AS q WHERE q.vt > q.enqueued_at'
                        ' AND q.vt >= (SELECT $1) AND q.vt < (SELECT $2) ORDER BY q.vt LIMIT 1',
                        queue
                    )
                    INTO v_found_time
                    USING
                        CASE WHEN v_from < 0 THEN '-infinity' ELSE to_timestamp(v_from / 1e6) END,
                        -- Half a microsecond is lost in between.
                        to_timestamp(v_place / 1e6) + interval '1 microsecond';
                    v_new_parked := least(v_new_parked, v_found_time);
                ELSE
                    EXECUTE format(
                        'SELECT q.msg_id FROM %s AS q WHERE %s'
                        ' q.msg_id >= (SELECT $1) AND q.msg_id < (SELECT $2)'
                        ' ORDER BY q.msg_id LIMIT 1',
                        queue, CASE v_phase WHEN 1 THEN 'q.vt <= q.enqueued_at AND' END
                    )
                    INTO v_found
                    USING v_from, v_place;
                    IF v_phase = 1 THEN
                        v_new_ready := least(v_new_ready, v_found);
                    ELSE
                        v_new_live := least(v_new_live, v_found);
                    END IF;
                END IF;
                EXIT WHEN v_from < 0;
                v_place := v_from;
                v_found := pgmq._microseconds(clock_timestamp());
                EXIT phases WHEN v_found NOT BETWEEN v_now AND v_now + v_budget;
                v_step := CASE
                    WHEN v_found - v_start > 1200 THEN greatest(v_step / 4, 64)
                    WHEN v_found - v_start < 400 THEN v_step * 16
                    ELSE v_step * 2
                END;
                v_start := v_found;
            END LOOP;
            v_phase := v_phase + 1;
            v_place := null;
        END LOOP phases;
    END IF;

    -- Never forwards again if another session has just moved the mark back.
    IF v_new_ready < v_ready_mark
        OR v_new_ready > v_ready_mark AND v_ready_mark = pgmq._id_mark(ready_mark)
    THEN
        v_moved := true;
        PERFORM setval(ready_mark, v_new_ready);
    END IF;
    -- A second more does not matter, and setval gives this transaction an xid: the polls of an idle
    -- queue do it seldom.
    IF v_new_parked < v_parked_mark
        OR (
            v_new_parked > v_parked_mark + interval '1 second'
            OR v_moved AND v_new_parked > v_parked_mark
        )
        AND v_parked_mark = pgmq._parked_mark(parked_mark)
    THEN
        PERFORM setval(parked_mark, pgmq._microseconds(v_new_parked));
    END IF;
    IF v_new_live < v_live_mark
        OR v_new_live > v_live_mark AND v_live_mark = pgmq._id_mark(v_live_name)
    THEN
        PERFORM setval(v_live_name, v_new_live);
    END IF;
    v_back := v_back OR v_new_ready < v_ready_mark OR v_new_parked < v_parked_mark;

    IF v_queue.is_partitioned AND (v_sweep OR v_floor_limit IS NOT NULL) THEN
        v_floor_name := format('pgmq.%I', 'floor_mark_' || v_queue.suffix);
        v_floor_mark := pgmq._id_mark(v_floor_name);
        EXECUTE concat(
            'SELECT ',
            CASE WHEN v_key IS NOT NULL THEN format(
                '(SELECT pgmq._partition_key(q.%I) FROM %s AS q WHERE %s true'
                ' ORDER BY q.%I LIMIT 1)', v_key, queue, v_live_parts, v_key
            ) END,
            CASE WHEN v_sweep THEN format(
                ', (SELECT pgmq._partition_key(q.%I) FROM %s AS q WHERE q.%I > %s'
                ' ORDER BY q.%I DESC LIMIT 1)', v_key, queue, v_key, v_last_key, v_key
            ) ELSE ', null' END
        )
        INTO v_found, v_top;
        v_new_floor := least(greatest(v_floor_limit, v_floor_mark), v_found);
        IF v_new_floor <> v_floor_mark THEN
            PERFORM setval(v_floor_name, v_new_floor);
        END IF;
        IF v_top IS NOT NULL THEN
            PERFORM setval(format('pgmq.%I', 'top_mark_' || v_queue.suffix)::regclass, v_top);
        END IF;
        v_back := v_back OR v_new_floor < v_floor_mark OR v_top IS NOT NULL;
    END IF;

    IF v_sweep THEN
        v_found := greatest(pgmq._microseconds(clock_timestamp()) - v_now, 0);
        IF v_phase > v_phases THEN
            v_interval := pgmq._sweep_interval();
            IF v_queue.is_partitioned THEN
                v_interval := greatest(v_interval, least(v_minute, v_pause * v_found));
            END IF;
            PERFORM setval(sweep_due, v_now + CASE
                WHEN v_committed OR now() > clock_timestamp() - interval '1 second' THEN v_interval
                ELSE 0
            END);
        ELSE
            v_start := (v_now + least(1000000, v_pause * v_found)) / v_tick + 1;
            v_place := CASE v_phase WHEN 2 THEN (v_place + 15) >> 4 ELSE v_place END;
            PERFORM setval(sweep_due, -((v_phase << 61) | ((v_start & v_ticks) << 48) | v_place));
        END IF;
    END IF;
    RETURN v_back;
END
$$;
COMMENT ON FUNCTION pgmq._advance(regclass, regclass, regclass, regclass, boolean) IS
'Move the low-water marks of a queue as far as is safe; sweep now, or when it is due.

Returns whether a mark was moved back. With the caller''s rights: the queue''s function of this name
runs it with those of the owner.';
