-- How templates read the low-water marks. STABLE, so that a mark may bound an index scan: it is
-- read when that begins, after the table was locked. A sequence that has not been set yet has no
-- value: then nothing may be passed over.
CREATE OR REPLACE FUNCTION pgmq._id_mark(mark regclass)
RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN coalesce(pg_catalog.pg_sequence_last_value(mark), '-9223372036854775808'::bigint);
END
$$;
COMMENT ON FUNCTION pgmq._id_mark(regclass) IS 'No message of the kind that the mark is for has a smaller msg_id.';

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
COMMENT ON FUNCTION pgmq._parked_mark(regclass) IS 'No parked message has a smaller vt.';

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
    -- A parked mark ahead of the clock: that was set back.
    RETURN v_now >= coalesce(pg_catalog.pg_sequence_last_value(sweep_due), 0)
        OR v_now < coalesce(pg_catalog.pg_sequence_last_value(parked_mark), 0);
END
$$;
COMMENT ON FUNCTION pgmq._is_sweep_due(regclass, regclass) IS
'Whether what lies below the marks of a queue is to be looked at, for stragglers.';

CREATE OR REPLACE FUNCTION pgmq._announced_at(announcement bigint)
RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    -- Milliseconds since 2020 without the last 22 bits: enough until 2089.
    SELECT to_timestamp('1577836800' + (announcement >> 22)::double precision / '1000')
$$;
COMMENT ON FUNCTION pgmq._announced_at(bigint) IS 'The time of an announcement as a queue''s sequence holds it.';

-- Between which partition keys the messages of a partitioned queue are. IMMUTABLE, which they are
-- not: so they are evaluated while a statement is planned, and the partitions outside are no part
-- of the plan. They must only be called by statements that are planned each time: in functions that
-- _compile makes do so, by statements with a parameter, and not by plain expressions of PL/pgSQL.
CREATE OR REPLACE FUNCTION pgmq._first_id(floor_mark regclass)
RETURNS bigint
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    RETURN coalesce(pg_sequence_last_value(floor_mark), '-9223372036854775808'::bigint);
END
$$;
COMMENT ON FUNCTION pgmq._first_id(regclass) IS 'No message of a queue that is partitioned by msg_id has a smaller one.';

CREATE OR REPLACE FUNCTION pgmq._last_id(top_mark regclass, ids regclass)
RETURNS bigint
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    RETURN greatest(pg_sequence_last_value(top_mark), pg_sequence_last_value(ids), 0);
END
$$;
COMMENT ON FUNCTION pgmq._last_id(regclass, regclass) IS 'No message of a queue that is partitioned by msg_id has a greater one.';

CREATE OR REPLACE FUNCTION pgmq._first_time(floor_mark regclass)
RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    -- What this transaction itself has sent is not before it began.
    RETURN least(
        coalesce(
            -- Half a microsecond is lost in between.
            to_timestamp(
                pg_catalog.pg_sequence_last_value(floor_mark)::double precision / '1e6'
            ) - interval '1 second',
            '-infinity'
        ),
        now()
    );
END
$$;
COMMENT ON FUNCTION pgmq._first_time(regclass) IS 'No message of a queue that is partitioned by enqueued_at has a smaller one.';

CREATE OR REPLACE FUNCTION pgmq._last_time(top_mark regclass)
RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    RETURN greatest(
        clock_timestamp(),
        to_timestamp(
            pg_catalog.pg_sequence_last_value(top_mark)::double precision / '1e6'
        ) + interval '1 second'
    );
END
$$;
COMMENT ON FUNCTION pgmq._last_time(regclass) IS 'No message of a queue that is partitioned by enqueued_at has a greater one.';

-- For dynamic SQL, which is planned each time anyhow, and for what templates become.
CREATE OR REPLACE FUNCTION pgmq._bounds(
    queue regclass,
    suffix text,
    OUT key name,
    OUT first text,
    OUT last text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_floor_mark CONSTANT text := format('pgmq.%I', 'floor_mark_' || suffix);
    v_top_mark CONSTANT text := format('pgmq.%I', 'top_mark_' || suffix);
BEGIN
    key := pgmq._partition_column(queue::text);
    IF key = 'msg_id' THEN
        first := format('pgmq._first_id(%L)', v_floor_mark);
        last := format(
            'pgmq._last_id(%L, %L)', v_top_mark, pg_get_serial_sequence(queue::text, 'msg_id')
        );
    ELSIF key IS NOT NULL THEN
        first := format('pgmq._first_time(%L)', v_floor_mark);
        last := format('pgmq._last_time(%L)', v_top_mark);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._bounds(regclass, text) IS
'The column that a queue is partitioned by, and the SQL of its least and greatest value among the messages.

Nulls for a queue that is not partitioned.';

CREATE OR REPLACE FUNCTION pgmq._id_front(
    floor_mark regclass,
    ready_mark regclass,
    span bigint,
    last_id bigint
)
RETURNS bigint
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    RETURN least(
        greatest(
            pg_sequence_last_value(floor_mark), pg_sequence_last_value(ready_mark), 0
        ) + span,
        last_id
    );
END
$$;
COMMENT ON FUNCTION pgmq._id_front(regclass, regclass, bigint, bigint) IS 'Where the partitions of msg_ids end that are looked at first.';

CREATE OR REPLACE FUNCTION pgmq._time_front(
    floor_mark regclass,
    span interval,
    last_time timestamptz
)
RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    RETURN least(
        to_timestamp(
            coalesce(pg_catalog.pg_sequence_last_value(floor_mark), 0)::double precision / '1e6'
        )
        + span + interval '5 minutes',
        last_time
    );
END
$$;
COMMENT ON FUNCTION pgmq._time_front(regclass, interval, timestamptz) IS 'Where the partitions of times end that are looked at first.';

CREATE OR REPLACE FUNCTION pgmq._partition_key(msg_id bigint)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT msg_id
$$;
COMMENT ON FUNCTION pgmq._partition_key(bigint) IS 'A msg_id as a mark of partitions holds it.';

CREATE OR REPLACE FUNCTION pgmq._partition_key(enqueued_at timestamptz)
RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT pgmq._microseconds(enqueued_at)
$$;
COMMENT ON FUNCTION pgmq._partition_key(timestamptz) IS 'An enqueued_at as a mark of partitions holds it.';
