-- Nobody but ordinary calls sends what schedules say. A queue with schedules has a sequence,
-- tick_due_<queue>: the time at which the next call is to look at pgmq.schedule. Nothing depends on
-- it but how soon that is. It says at most a second ahead. So whatever makes it wrong (a schedule
-- that is committed later, a rollback, a clock that was set back) delays a tick by no more.
CREATE OR REPLACE FUNCTION pgmq._is_tick_due(tick_due regclass)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_ahead CONSTANT bigint := coalesce(pg_catalog.pg_sequence_last_value(tick_due), 0)
        - pgmq._microseconds(clock_timestamp());
BEGIN
    -- If it is more than a second ahead, the clock has been set back since.
    RETURN v_ahead NOT BETWEEN 1 AND 1000000;
END
$$;
COMMENT ON FUNCTION pgmq._is_tick_due(regclass) IS
'Whether it is time to look at the schedules of a queue.';

CREATE OR REPLACE FUNCTION pgmq._fire(queue_name text)
RETURNS integer
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_path CONSTANT text := pg_catalog.current_setting('search_path'::text);
    v_sent integer;
BEGIN
    EXECUTE pg_catalog.format('SELECT pgmq.%I()', pgmq._function_name('fire', queue_name))
    INTO v_sent;
    PERFORM pgmq._restore_search_path(v_path);      -- triggers on the queue
    RETURN v_sent;
END
$$;
COMMENT ON FUNCTION pgmq._fire(text) IS
'Send what is due by the schedules of a queue that has some; return how many messages.';

CREATE OR REPLACE FUNCTION pgmq._send_if_due(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_tick_due regclass;
BEGIN
    PERFORM pgmq._lock_table_first(queue_name);
    v_tick_due := pgmq._relation('tick_due', queue_name);
    IF pgmq._is_tick_due(v_tick_due) THEN
        PERFORM pgmq._fire(queue_name);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._send_if_due(text) IS
'Look at the schedules of a queue that has some if it is time to, for functions of all queues.';

CREATE OR REPLACE FUNCTION pgmq._send_due(queue_name text, queue regclass, tick_due regclass)
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_most CONSTANT integer := 100;     -- messages a call
    v_now CONSTANT timestamptz := clock_timestamp();
    v_soon CONSTANT bigint := pgmq._microseconds(v_now + interval '0.1 seconds');
    v_due refcursor;
    v_schedule pgmq.schedule;
    v_sent integer := 0;
BEGIN
    -- Under SERIALIZABLE, what this reads could make the caller fail at its commit. And a
    -- transaction that stays open holds back the ticks that it has sent, so that nobody but users of
    -- the queue may.
    IF current_setting('transaction_isolation') = 'serializable'
        OR NOT (
            pgmq._is_user(queue, 'INSERT') OR pgmq._is_user(queue, 'UPDATE')
            OR pgmq._is_stream(queue) AND pgmq._is_user(queue, 'SELECT')
        )
    THEN
        RETURN 0;
    END IF;
    -- Meanwhile nobody looks. A session that is killed keeps others from it for no longer.
    PERFORM setval(tick_due, pgmq._microseconds(v_now + interval '1 second'));
    BEGIN
        -- FETCH locks one schedule. FOR would fetch ahead, and keep back what this does not send.
        OPEN v_due FOR
            SELECT s.*
            FROM pgmq.schedule AS s
            WHERE lower(s.queue_name) = lower(_send_due.queue_name) AND s.next_at <= v_now
            -- Those that catch up come last, or one that is far behind would hold up all others.
            ORDER BY s.catch_up, s.next_at
            LIMIT v_most
            FOR UPDATE SKIP LOCKED;
        LOOP
            FETCH v_due INTO v_schedule;
            EXIT WHEN NOT FOUND;
            v_sent := v_sent + pgmq._send_ticks(v_schedule, tick_due, v_now, v_most - v_sent);
            EXIT WHEN v_sent >= v_most;
        END LOOP;
        CLOSE v_due;
    EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
        PERFORM setval(tick_due, v_soon);
        IF SQLSTATE = '57014' THEN
            RAISE;
        END IF;
        v_sent := 0;
        -- Where the snapshot is older than a tick that another has sent, a later call does it.
        IF SQLSTATE <> '40001' THEN
            RAISE WARNING 'schedules of queue "%" failed: %', queue_name, SQLERRM;
        END IF;
    END;
    -- What was sent now comes again if this transaction rolls back.
    PERFORM setval(tick_due, CASE WHEN v_sent > 0 THEN v_soon ELSE greatest(v_soon, (
        SELECT pgmq._microseconds(least(min(s.next_at), v_now + interval '1 second'))
        FROM pgmq.schedule AS s
        WHERE lower(s.queue_name) = lower(_send_due.queue_name)
    )) END);
    RETURN v_sent;
END
$$;
COMMENT ON FUNCTION pgmq._send_due(text, regclass, regclass) IS
'Send the messages that are due by the schedules of a queue, and return how many.

For the compiled function fire, which has the rights of the queue''s owner. Each tick is sent once:
the row of its schedule is locked, and holds the next one when this commits. What another
transaction is sending is left to it. A failure is noted in the schedule, and fails no call.';

CREATE OR REPLACE FUNCTION pgmq._send_ticks(
    schedule pgmq.schedule,
    tick_due regclass,
    until timestamptz,
    quantity integer
)
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_at timestamptz := schedule.tick_at;
    v_next timestamptz;
    v_count integer := 0;
    v_msg_id bigint;
BEGIN
    -- Sending may look at the schedules again, and this transaction, which holds the row, would take
    -- it once more.
    UPDATE pgmq.schedule AS s
    SET next_at = 'infinity'
    WHERE s.schedule_name = schedule.schedule_name AND s.next_at <= until;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    LOOP
        v_next := pgmq._next_tick(schedule, v_at);
        IF v_next <= until AND NOT schedule.catch_up THEN
            v_at := pgmq._last_tick(schedule, v_next, until);
            v_next := pgmq._next_tick(schedule, v_at);
        END IF;
        -- However long all of them take, sending one does not look for what else is due.
        PERFORM setval(tick_due, pgmq._microseconds(clock_timestamp() + interval '1 second'));
        v_msg_id := pgmq._send_tick(schedule, v_at);
        v_count := v_count + 1;
        EXIT WHEN (v_next <= until) IS NOT true OR v_count = quantity;
        v_at := v_next;
    END LOOP;
    UPDATE pgmq.schedule AS s
    SET tick_at = v_next, next_at = v_next, last_at = v_at, last_msg_id = v_msg_id,
        errors = 0, last_error = null
    WHERE s.schedule_name = schedule.schedule_name;
    RETURN v_count;
EXCEPTION WHEN OTHERS THEN
    -- Once more in a second, then two, four, and so on up to five minutes.
    UPDATE pgmq.schedule AS s
    SET next_at = until + least(interval '5 minutes', interval '1 second' * 2 ^ least(s.errors, 9)),
        errors = s.errors + 1,
        last_error = SQLERRM
    WHERE s.schedule_name = schedule.schedule_name;
    RETURN 0;
END
$$;
COMMENT ON FUNCTION pgmq._send_ticks(pgmq.schedule, regclass, timestamptz, integer) IS
'Send what a schedule is due to send by a time, up to so many messages, and return how many.

Of several ticks that were missed, only the last is sent, or with catch_up all in turn. If one
cannot be sent, none is; the schedule has the error, and the time of the next attempt.';

CREATE OR REPLACE FUNCTION pgmq._send_tick(schedule pgmq.schedule, tick_at timestamptz)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_msg_id bigint;
BEGIN
    EXECUTE pg_catalog.format(
        'SELECT pgmq.%I($1, $2, $3)', pgmq._function_name('enqueue', schedule.queue_name)
    )
    INTO v_msg_id
    USING
        schedule.msg,
        pgmq._headers(schedule.headers) || pg_catalog.jsonb_build_object(
            'x-pgmq-schedule',
            pg_catalog.jsonb_build_object(
                'name', schedule.schedule_name,
                -- The same text for all, whatever the time zone of the session.
                'at', pg_catalog.concat(
                    pg_catalog.to_jsonb(tick_at AT TIME ZONE 'UTC'::text) #>> '{}'::text[], '+00:00'
                )
            )
        ),
        '-infinity'::timestamptz;
    RETURN v_msg_id;
END
$$;
COMMENT ON FUNCTION pgmq._send_tick(pgmq.schedule, timestamptz) IS
'Send the message of a schedule for a tick, which its header x-pgmq-schedule names.';
