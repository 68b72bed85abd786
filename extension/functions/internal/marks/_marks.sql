-- Templates read the low-water marks by these functions. They are STABLE, so that a mark can bound
-- an index scan: it is read when the scan begins, after the table was locked. A sequence that was
-- never set has no value; then nothing may be passed over.
CREATE OR REPLACE FUNCTION pgmq._id_mark(mark regclass)
RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN coalesce(pg_catalog.pg_sequence_last_value(mark), '-9223372036854775808'::bigint);
END
$$;
COMMENT ON FUNCTION pgmq._id_mark(regclass) IS
'The msg_id below which there is no message of the kind that the mark is for.';

CREATE OR REPLACE FUNCTION pgmq._parked_mark(mark regclass)
RETURNS timestamptz
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN to_timestamp(
        coalesce(pg_catalog.pg_sequence_last_value(mark), 0)::double precision / '1e6'
    );
END
$$;
COMMENT ON FUNCTION pgmq._parked_mark(regclass) IS 'The vt below which there is no parked message.';

CREATE OR REPLACE FUNCTION pgmq._microseconds(moment timestamptz)
RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT (extract(epoch FROM moment) * '1000000')::bigint
$$;
COMMENT ON FUNCTION pgmq._microseconds(timestamptz) IS 'A time as a sequence can hold it: microseconds since 1970.';

CREATE OR REPLACE FUNCTION pgmq._duration(span interval)
RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT extract(epoch FROM span) * '1000000'
$$;
COMMENT ON FUNCTION pgmq._duration(interval) IS 'An interval in microseconds.';

CREATE OR REPLACE FUNCTION pgmq._divided_up(amount numeric, divisor numeric)
RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT pg_catalog.div(amount + divisor - '1', divisor)
$$;
COMMENT ON FUNCTION pgmq._divided_up(numeric, numeric) IS
'The quotient of two whole numbers, rounded up; exact, however long they are.';

CREATE OR REPLACE FUNCTION pgmq._sweep_interval()
RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_interval interval;
BEGIN
    -- A setting of the session or of its role does not count: it would delay messages for others.
    SELECT split_part(c.setting, '=', 2)::interval INTO v_interval
    FROM pg_db_role_setting AS s
    CROSS JOIN unnest(s.setconfig) AS c (setting)
    WHERE s.setrole = 0
        AND s.setdatabase IN (
            0, (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
        )
        AND starts_with(c.setting, 'pgmq.sweep_interval=')
    ORDER BY s.setdatabase DESC
    LIMIT 1;
    RETURN greatest(
        (1000000 * extract(epoch FROM coalesce(v_interval, '10 s')))::bigint, 100000
    );
EXCEPTION
    WHEN data_exception THEN        -- no interval
        RETURN 10000000;
END
$$;
COMMENT ON FUNCTION pgmq._sweep_interval() IS
'How often a queue is searched from the start, in microseconds.

10 s, or what ALTER DATABASE ... SET pgmq.sweep_interval says.';

CREATE OR REPLACE FUNCTION pgmq._is_sweep_due(parked_mark regclass, sweep_due regclass)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_now CONSTANT bigint := pgmq._microseconds(clock_timestamp());
    v_due CONSTANT bigint := coalesce(pg_catalog.pg_sequence_last_value(sweep_due), 0);
BEGIN
    -- If the parked mark is ahead of the clock, the clock was set back; or if the due time is
    -- further ahead than a sweep puts it. The interval is looked up only where that may be so: a
    -- lookup costs as much as a fifth of an empty read.
    RETURN v_now >= v_due
        OR v_now < coalesce(pg_catalog.pg_sequence_last_value(parked_mark), 0)
        OR v_due > v_now + 60000000 AND v_due > v_now + pgmq._sweep_interval();
END
$$;
COMMENT ON FUNCTION pgmq._is_sweep_due(regclass, regclass) IS
'Whether the messages below the marks of a queue are to be looked at.';

CREATE OR REPLACE FUNCTION pgmq._announcement(moment timestamptz, xid bigint)
RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT greatest(pgmq._microseconds(moment) / 1000 - 1577836800000, 0::bigint) << 22
        | (xid & 4194303::bigint)
$$;
COMMENT ON FUNCTION pgmq._announcement(timestamptz, bigint) IS
'An announcement at a time, by a transaction, as a queue''s sequence holds it.';

CREATE OR REPLACE FUNCTION pgmq._announced_at(announcement bigint)
RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT to_timestamp('1577836800' + (announcement >> 22)::double precision / '1000')
$$;
COMMENT ON FUNCTION pgmq._announced_at(bigint) IS 'The time of an announcement as a queue''s sequence holds it.';

CREATE OR REPLACE FUNCTION pgmq._announced_by(announcement bigint)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT announcement & '4194303'::bigint
$$;
COMMENT ON FUNCTION pgmq._announced_by(bigint) IS
'The last bits of the transaction that has made an announcement; 0 if that has committed for sure.';
