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

CREATE OR REPLACE FUNCTION pgmq._is_sweep_due(parked_mark regclass, sweep_due regclass)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_now CONSTANT bigint := pgmq._microseconds(clock_timestamp());
BEGIN
    -- If the parked mark is ahead of the clock, the clock was set back.
    RETURN v_now >= coalesce(pg_catalog.pg_sequence_last_value(sweep_due), 0)
        OR v_now < coalesce(pg_catalog.pg_sequence_last_value(parked_mark), 0);
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
