-- When a schedule of cron fires. The model is Vixie's cron: five fields, each a list of *, values,
-- and ranges; a step may follow a * or a range. If neither the days of the month nor those of the
-- week begin with *, one of the two suffices.
CREATE OR REPLACE FUNCTION pgmq._cron_values(field text, place integer)
RETURNS integer[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_kind CONSTANT text :=
        (ARRAY['minute', 'hour', 'day of the month', 'month', 'day of the week'])[place];
    v_low CONSTANT integer := ('{0,0,1,1,0}'::integer[])[place];
    v_high CONSTANT integer := ('{59,23,31,12,7}'::integer[])[place];
    v_names CONSTANT text[] := CASE place
        WHEN 4 THEN '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}'
        WHEN 5 THEN '{sun,mon,tue,wed,thu,fri,sat}'
    END::text[];
    v_item text;
    v_parts text[];     -- of a range: where it begins and ends, and its step
    v_first integer;
    v_last integer;
    v_values integer[] := '{}'::integer[];
BEGIN
    FOREACH v_item IN ARRAY string_to_array(lower(field), ',') LOOP
        v_parts := coalesce(
            regexp_match(v_item, '^([[:alnum:]_]+)-([[:alnum:]_]+)(?:/([0-9]{1,2}))?$'),
            regexp_match(
                regexp_replace(v_item, '^[*]', format('%s-%s', v_low, v_high)),
                '^([0-9]+)-([0-9]+)(?:/([0-9]{1,2}))?$'
            ),
            ARRAY[v_item, v_item]
        );
        v_first := pgmq._cron_value(v_parts[1], v_low, v_names);
        v_last := pgmq._cron_value(v_parts[2], v_low, v_names);
        IF place = 5 AND v_last = 0 AND v_first > 0 THEN
            v_last := 7;        -- Sunday is the last day, too
        ELSIF place = 5 AND v_item ~ '^[*]' THEN
            v_last := 6;
        END IF;
        IF (v_low <= v_first AND v_first <= v_last AND v_last <= v_high
            AND coalesce(v_parts[3], '1')::integer > 0) IS NOT true
        THEN
            RAISE EXCEPTION 'a schedule has no such %: "%"', v_kind, v_item
                USING ERRCODE = 'invalid_parameter_value',
                    HINT = format(
                        'A field takes *, values of %s to %s%s, ranges as %s-%s, a step after * or a'
                        ' range as */2, and lists of these with commas.',
                        v_low, v_high,
                        ' or ' || v_names[1] || ' to ' || v_names[cardinality(v_names)],
                        v_low + 1, v_low + 5
                    );
        END IF;
        v_values := v_values || ARRAY(
            SELECT CASE WHEN place = 5 THEN g.value % 7 ELSE g.value END
            FROM generate_series(v_first, v_last, coalesce(v_parts[3], '1')::integer) AS g (value)
        );
    END LOOP;
    RETURN ARRAY(SELECT DISTINCT u.value FROM unnest(v_values) AS u (value) ORDER BY u.value);
END
$$;
COMMENT ON FUNCTION pgmq._cron_values(text, integer) IS
'The values of a field of cron, in order; raise an error that names what is wrong.

The fields are 1 to 5: minutes, hours, days of the month, months, days of the week (0 is Sunday).';

CREATE OR REPLACE FUNCTION pgmq._cron_value(word text, low integer, names text[])
RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN word ~ '^[0-9]{1,2}$' THEN word::integer
        ELSE array_position(names, word) - 1 + low
    END
$$;
COMMENT ON FUNCTION pgmq._cron_value(text, integer, text[]) IS
'The number that a word of a field of cron stands for; null if it stands for none.';

-- Where the clock is put forward, some times do not exist. Where it is put back, some exist twice.
CREATE OR REPLACE FUNCTION pgmq._first_shown(moment timestamp, timezone text)
RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- What the clock differs from UTC by, before and after any change near that time.
    v_around CONSTANT timestamptz := moment AT TIME ZONE timezone;
    v_before CONSTANT interval := (
        (v_around - interval '25 hours') AT TIME ZONE timezone
        - (v_around - interval '25 hours') AT TIME ZONE 'UTC'
    );
    v_after CONSTANT interval := (
        (v_around + interval '25 hours') AT TIME ZONE timezone
        - (v_around + interval '25 hours') AT TIME ZONE 'UTC'
    );
    v_early timestamptz := (moment - v_before) AT TIME ZONE 'UTC';
    v_late timestamptz := (moment - v_after) AT TIME ZONE 'UTC';
    v_middle timestamptz;
BEGIN
    IF v_early AT TIME ZONE timezone = moment THEN
        RETURN v_early;
    ELSIF v_late AT TIME ZONE timezone = moment THEN
        RETURN v_late;
    END IF;
    -- The clock was put forward between these two.
    WHILE v_early - v_late > interval '1 microsecond' LOOP
        v_middle := v_late + (v_early - v_late) / 2;
        IF v_middle AT TIME ZONE timezone < moment THEN
            v_late := v_middle;
        ELSE
            v_early := v_middle;
        END IF;
    END LOOP;
    RETURN v_early;
END
$$;
COMMENT ON FUNCTION pgmq._first_shown(timestamp, text) IS
'When the clocks of a time zone first show at least this time.

So a time that exists twice is the first of the two, and one that does not exist the moment at which
the clock is put forward over it.';

CREATE OR REPLACE FUNCTION pgmq._cron_day(fields text[], since date)
RETURNS date
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_days CONSTANT integer[] := pgmq._cron_values(fields[3], 3);
    v_months CONSTANT integer[] := pgmq._cron_values(fields[4], 4);
    v_weekdays CONSTANT integer[] := pgmq._cron_values(fields[5], 5);
    v_either CONSTANT boolean := NOT (starts_with(fields[3], '*') OR starts_with(fields[5], '*'));
    v_last CONSTANT date := since + 40 * 366;   -- the last 29 February on a given day of the week
    v_day date := since;
    v_is_day boolean;
    v_is_weekday boolean;
BEGIN
    WHILE v_day <= v_last LOOP
        IF extract(month FROM v_day)::integer <> ALL (v_months) THEN
            v_day := date_trunc('month', v_day::timestamp) + interval '1 month';
            CONTINUE;
        END IF;
        v_is_day := extract(day FROM v_day)::integer = ANY (v_days);
        v_is_weekday := extract(dow FROM v_day)::integer = ANY (v_weekdays);
        IF v_is_day AND v_is_weekday OR v_either AND (v_is_day OR v_is_weekday) THEN
            RETURN v_day;
        END IF;
        v_day := v_day + 1;
    END LOOP;
    RETURN null;
END
$$;
COMMENT ON FUNCTION pgmq._cron_day(text[], date) IS
'The first day since the given one on which a schedule of cron fires; null if there is none.';

CREATE OR REPLACE FUNCTION pgmq._cron_next(fields text[], timezone text, after timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_minutes CONSTANT integer[] := pgmq._cron_values(fields[1], 1);
    v_hours CONSTANT integer[] := pgmq._cron_values(fields[2], 2);
    v_now CONSTANT timestamp := after AT TIME ZONE timezone;
    v_day date := v_now::date;
    v_hour integer;
    v_minute integer;
    v_moment timestamp;
    v_at timestamptz;
BEGIN
    IF cardinality(v_hours) = 24 THEN
        -- Whenever the clocks show these minutes, in every hour that passes.
        v_at := to_timestamp(floor(extract(epoch FROM after) / 60) * 60);
        v_day := null;
        LOOP
            v_at := v_at + interval '1 minute';
            v_moment := v_at AT TIME ZONE timezone;
            IF v_day IS DISTINCT FROM v_moment::date THEN
                v_day := pgmq._cron_day(fields, v_moment::date);
            END IF;
            IF v_day IS NULL THEN
                RETURN null;
            ELSIF v_day > v_moment::date THEN
                -- Unless the clock is about to go back into the day before.
                IF (v_at + interval '2 hours') AT TIME ZONE timezone
                    = v_moment + interval '2 hours'
                THEN
                    v_at := greatest(
                        v_at, pgmq._first_shown(v_day, timezone) - interval '1 minute'
                    );
                END IF;
            ELSIF extract(minute FROM v_moment)::integer = ANY (v_minutes) THEN
                RETURN v_at;
            END IF;
        END LOOP;
    END IF;
    v_day := pgmq._cron_day(fields, v_day);
    WHILE v_day IS NOT NULL LOOP
        FOREACH v_hour IN ARRAY v_hours LOOP
            CONTINUE WHEN v_day + make_time(v_hour, 59, 0) <= v_now;
            FOREACH v_minute IN ARRAY v_minutes LOOP
                v_moment := v_day + make_time(v_hour, v_minute, 0);
                CONTINUE WHEN v_moment <= v_now;
                v_at := pgmq._first_shown(v_moment, timezone);
                -- It is not, while the clock shows for a second time what it showed before.
                IF v_at > after THEN
                    RETURN v_at;
                END IF;
            END LOOP;
        END LOOP;
        v_day := pgmq._cron_day(fields, v_day + 1);
    END LOOP;
    RETURN null;
END
$$;
COMMENT ON FUNCTION pgmq._cron_next(text[], text, timestamptz) IS
'When a schedule of cron fires next after a time; null if never.

Where the clock is put forward, what would fall into the gap comes once, at its end. Where the clock
is put back, what comes twice counts once. But a schedule for every hour fires whenever the clock
shows its minutes.';
