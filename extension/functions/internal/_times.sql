-- The values that templates write to messages. Each is one expression, so that a call is inlined
-- when the statement is planned, and the statement that each session keeps stays small.
CREATE OR REPLACE FUNCTION pgmq._visible_from(visible_at timestamptz)
RETURNS timestamptz
LANGUAGE sql VOLATILE
AS $$
    -- now() equals enqueued_at, which makes the message ready.
    SELECT CASE WHEN visible_at > clock_timestamp() THEN visible_at ELSE now() END
$$;
COMMENT ON FUNCTION pgmq._visible_from(timestamptz) IS
'The vt of a message that is sent: when it becomes visible, or now if that is past.';

CREATE OR REPLACE FUNCTION pgmq._lease_end(seconds integer, enqueued_at timestamptz)
RETURNS timestamptz
LANGUAGE sql VOLATILE
AS $$
    SELECT greatest(
        clock_timestamp() + pg_catalog.make_interval(secs => greatest(seconds, 0)),
        enqueued_at + interval '1 microsecond'
    )
$$;
COMMENT ON FUNCTION pgmq._lease_end(integer, timestamptz) IS
'The vt of a message leased for some seconds: not behind the clock, and not that of a ready one.';

CREATE OR REPLACE FUNCTION pgmq._parked_until(visible_at timestamptz, enqueued_at timestamptz)
RETURNS timestamptz
LANGUAGE sql VOLATILE
AS $$
    SELECT greatest(visible_at, clock_timestamp(), enqueued_at + interval '1 microsecond')
$$;
COMMENT ON FUNCTION pgmq._parked_until(timestamptz, timestamptz) IS
'The vt of a message that is parked until a time: not behind the clock, and not that of a ready one.';

CREATE OR REPLACE FUNCTION pgmq._next_receipt(read_ct integer)
RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT least(read_ct, 2147483646) + 1
$$;
COMMENT ON FUNCTION pgmq._next_receipt(integer) IS
'The read_ct of a message that is read once more; it stops at the largest integer.';

CREATE OR REPLACE FUNCTION pgmq._with_error(headers jsonb, error text)
RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN error IS NULL THEN headers
        ELSE pgmq._headers(headers) || pg_catalog.jsonb_build_object('x-pgmq-error', error)
    END
$$;
COMMENT ON FUNCTION pgmq._with_error(jsonb, text) IS
'The headers of a message that was given back, with the error unless that is null.';

-- STABLE, so that it can bound an index scan: it is evaluated when the scan begins.
CREATE OR REPLACE FUNCTION pgmq._clock()
RETURNS timestamptz
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN clock_timestamp();
END
$$;
COMMENT ON FUNCTION pgmq._clock() IS
'The time of the clock, as a STABLE function that an index condition may contain.';

-- The public functions take times as such, or as a number of seconds from now.
CREATE OR REPLACE FUNCTION pgmq._not_null(moment timestamptz, argument text, hint text)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    IF moment IS NULL THEN
        PERFORM pgmq._raise_null(argument, hint);
    END IF;
    RETURN moment;
END
$$;
COMMENT ON FUNCTION pgmq._not_null(timestamptz, text, text) IS
'Return this time; raise an error for a null argument of this name.';

CREATE OR REPLACE FUNCTION pgmq._delayed(delay timestamptz)
RETURNS timestamptz
LANGUAGE sql VOLATILE
AS $$
    SELECT pgmq._not_null(delay, 'delay'::text, 'Give seconds or a time, or leave delay out.'::text)
$$;
COMMENT ON FUNCTION pgmq._delayed(timestamptz) IS 'The time that a delay ends at; raise an error for null.';

CREATE OR REPLACE FUNCTION pgmq._delayed(delay integer)
RETURNS timestamptz
LANGUAGE sql VOLATILE
AS $$
    SELECT pgmq._delayed(clock_timestamp() + pg_catalog.make_interval(secs => delay))
$$;
COMMENT ON FUNCTION pgmq._delayed(integer) IS 'The time that a delay of so many seconds ends at; raise an error for null.';

CREATE OR REPLACE FUNCTION pgmq._visible_at(vt timestamptz)
RETURNS timestamptz
LANGUAGE sql VOLATILE
AS $$
    SELECT pgmq._not_null(vt, 'vt'::text, 'Give seconds or a time.'::text)
$$;
COMMENT ON FUNCTION pgmq._visible_at(timestamptz) IS
'The time given to set_vt(); raise an error for null.';

CREATE OR REPLACE FUNCTION pgmq._visible_at(vt integer)
RETURNS timestamptz
LANGUAGE sql VOLATILE
AS $$
    SELECT pgmq._visible_at(clock_timestamp() + pg_catalog.make_interval(secs => vt))
$$;
COMMENT ON FUNCTION pgmq._visible_at(integer) IS
'The time given to set_vt() as seconds from now; raise an error for null.';
