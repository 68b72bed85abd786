CREATE OR REPLACE FUNCTION pgmq.schedule(
    name text,
    queue_name text,
    cron text,
    msg jsonb,
    headers jsonb DEFAULT null,
    timezone text DEFAULT 'UTC',
    catch_up boolean DEFAULT false
)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_new pgmq.schedule;
BEGIN
    PERFORM pgmq._check_schedule(name, cron, headers, timezone, catch_up);
    SELECT p.fields, p.every INTO v_new.fields, v_new.every FROM pgmq._parse_cron(cron) AS p;
    v_new.schedule_name := name;
    v_new.queue_name := pgmq._queue_to_schedule(queue_name);
    v_new.cron := cron;
    v_new.timezone := timezone;
    v_new.catch_up := catch_up;
    v_new.msg := msg;
    v_new.headers := headers;
    v_new.anchor := clock_timestamp();
    v_new.tick_at := pgmq._next_tick(v_new, v_new.anchor);
    v_new.errors := 0;
    IF v_new.tick_at IS NULL THEN
        RAISE EXCEPTION 'no day is ever one of schedule "%": "%"', name, cron
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'None of its months has such a day.';
    END IF;
    LOOP
        v_new.paused_at := (
            SELECT s.paused_at FROM pgmq.schedule AS s WHERE s.schedule_name = v_new.schedule_name
        );
        v_new.next_at := CASE WHEN v_new.paused_at IS NULL THEN v_new.tick_at END;
        PERFORM pgmq.unschedule(name);
        INSERT INTO pgmq.schedule SELECT (v_new).* ON CONFLICT DO NOTHING;
        EXIT WHEN FOUND;        -- else another session has made one of this name meanwhile
    END LOOP;
    PERFORM pgmq._add_relations(v_new.queue_name, 'schedules');
    PERFORM pgmq._compile(v_new.queue_name);
    RETURN v_new.tick_at;
END
$$;
COMMENT ON FUNCTION pgmq.schedule(text, text, text, jsonb, jsonb, text, boolean) IS
'Send a message to a queue again and again, at certain times, and return the first of them.

cron has five fields, for minutes, hours, days of the month, months and days of the week:
"30 9 * * mon-fri" is half past nine on weekdays. Each field is * or a list of values and ranges,
and * and ranges may have a step: "*/15". Where the days of the month and of the week are both
given, one of them suffices. @hourly, @daily, @weekly, @monthly and @yearly stand for the first
minute of these. Or it is an interval of a second or more, as "30 seconds", counted from now.

Fields of cron are those of the clocks in timezone. What would fall into an hour that is left out in
spring is sent once, at its end. What comes twice in autumn is sent the first time. But a schedule
for every hour (*) sends whenever the clocks show its minutes.

No process sends the messages: any call of the queue that comes when one is due does, whoever calls:
read, pop, send, fetch and the like, and maintain. Each is sent once, in the transaction of that
call: if it rolls back, the next call sends it. A consumer that waits with await looks again just in
time. For a queue that nobody calls for long, schedule maintain.

Of several messages that were missed, the last is sent, or with catch_up all of them, up to 100 in a
call (maintain: 10,000). The header x-pgmq-schedule has the name of the schedule and the time that
the message is for ("at"). If a message cannot be sent, the call goes on, list_schedules says why,
and another attempt follows within five minutes.

The name has 1 to 255 bytes. A schedule of the same name is replaced; if that is paused, the new one
is, too. Only the owner of the queue may call this. Raises an error that names the wrong field, or
for days that do not exist.';

CREATE OR REPLACE FUNCTION pgmq.schedule(
    name text,
    queue_name text,
    every interval,
    msg jsonb,
    headers jsonb DEFAULT null,
    timezone text DEFAULT 'UTC',
    catch_up boolean DEFAULT false
)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE
SET intervalstyle = 'postgres'
AS $$
BEGIN
    RETURN pgmq.schedule(name, queue_name, every::text, msg, headers, timezone, catch_up);
END
$$;
COMMENT ON FUNCTION pgmq.schedule(text, text, interval, jsonb, jsonb, text, boolean) IS
'Send a message to a queue again and again, at an interval of a second or more.

The first is due an interval from now, and the others are counted from now, too: they do not drift.
A day has 24 hours.';
