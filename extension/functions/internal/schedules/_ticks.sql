-- The ticks of a schedule: the times for which it sends a message.
CREATE OR REPLACE FUNCTION pgmq._parse_cron(
    cron text,
    OUT fields text[],
    OUT every interval
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET intervalstyle = 'postgres'
AS $$
DECLARE
    v_text CONSTANT text := lower(btrim(cron, E' \t\n\r'));
    v_seconds numeric;
BEGIN
    fields := CASE v_text
        WHEN '@yearly' THEN '{0,0,1,1,*}'
        WHEN '@annually' THEN '{0,0,1,1,*}'
        WHEN '@monthly' THEN '{0,0,1,*,*}'
        WHEN '@weekly' THEN '{0,0,*,*,0}'
        WHEN '@daily' THEN '{0,0,*,*,*}'
        WHEN '@midnight' THEN '{0,0,*,*,*}'
        WHEN '@hourly' THEN '{0,*,*,*,*}'
        ELSE regexp_split_to_array(v_text, '[[:space:]]+')
    END::text[];
    IF cardinality(fields) = 5 THEN
        PERFORM pgmq._cron_values(f.field, f.place::integer)
        FROM unnest(fields) WITH ORDINALITY AS f (field, place);
        RETURN;
    END IF;
    fields := null;
    BEGIN
        -- Postgres takes other signs for blanks.
        every := CASE WHEN v_text ~ '^[-+@ a-z0-9.:]+$' THEN cron::interval END;
    EXCEPTION WHEN data_exception THEN
        NULL;
    END;
    IF every IS NULL THEN
        RAISE EXCEPTION '"%" is neither five fields of cron nor an interval', cron
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'Give minute, hour, day of the month, month and day of the week as in'
                    ' "30 9 * * mon-fri", or @hourly, @daily, @weekly, @monthly or @yearly, or an'
                    ' interval as "30 seconds".';
    END IF;
    IF extract(month FROM every) <> 0 OR extract(year FROM every) <> 0 THEN
        RAISE EXCEPTION 'a schedule has no months of equal length: "%"', cron
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'Give the days as in "0 0 1 * *" for each first of a month, or @monthly.';
    END IF;
    v_seconds := extract(epoch FROM every);
    IF v_seconds < 1 THEN
        RAISE EXCEPTION 'a schedule is not for less than a second: "%"', cron
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'Give an interval of 1 second or more.';
    END IF;
    IF v_seconds > 36525 * 86400.0 THEN
        RAISE EXCEPTION 'a schedule is not for more than a century: "%"', cron
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'Give an interval of up to 36525 days.';
    END IF;
    every := make_interval(secs => v_seconds::double precision);
END
$$;
COMMENT ON FUNCTION pgmq._parse_cron(text) IS
'The five fields of cron that a text has, or its interval; raise an error if it is neither.

A day of an interval has 24 hours.';

CREATE OR REPLACE FUNCTION pgmq._next_tick(schedule pgmq.schedule, after timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF schedule.fields IS NOT NULL THEN
        RETURN pgmq._cron_next(schedule.fields, schedule.timezone, after);
    END IF;
    RETURN schedule.anchor + schedule.every * (
        1 + floor(
            extract(epoch FROM after - schedule.anchor) / extract(epoch FROM schedule.every)
        )::double precision
    );
END
$$;
COMMENT ON FUNCTION pgmq._next_tick(pgmq.schedule, timestamptz) IS
'The first tick of a schedule after a time; null if there is none.';

CREATE OR REPLACE FUNCTION pgmq._last_tick(
    schedule pgmq.schedule,
    since timestamptz,
    until timestamptz
)
RETURNS timestamptz
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_last timestamptz := since;
    v_middle timestamptz;
    v_next timestamptz;
BEGIN
    -- By bisection: after years there may be very many ticks. Two are a second apart at least.
    WHILE until - v_last > interval '0.5 seconds' LOOP
        v_middle := v_last + (until - v_last) / 2;
        v_next := pgmq._next_tick(schedule, v_middle);
        IF v_next <= until THEN
            v_last := v_next;
        ELSE
            until := v_middle;
        END IF;
    END LOOP;
    v_next := pgmq._next_tick(schedule, v_last);
    RETURN CASE WHEN v_next <= until THEN v_next ELSE v_last END;
END
$$;
COMMENT ON FUNCTION pgmq._last_tick(pgmq.schedule, timestamptz, timestamptz) IS
'The last tick of a schedule by a time, if the other time is a tick before that.';
