-- Bounds of the partition keys that can hold messages of a partitioned queue. These functions are
-- deliberately mislabelled IMMUTABLE, so that Postgres evaluates them while planning and prunes the
-- other partitions. That is safe only in statements that are planned at every execution: statements
-- with a parameter, in functions that _compile has marked so, but not plain expressions of
-- PL/pgSQL.
CREATE OR REPLACE FUNCTION pgmq._first_id(floor_mark regclass)
RETURNS bigint
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    RETURN coalesce(pg_sequence_last_value(floor_mark), '-9223372036854775808'::bigint);
END
$$;
COMMENT ON FUNCTION pgmq._first_id(regclass) IS
'The msg_id below which a queue that is partitioned by msg_id has no message.';

CREATE OR REPLACE FUNCTION pgmq._last_id(top_mark regclass, ids regclass)
RETURNS bigint
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    RETURN greatest(pg_sequence_last_value(top_mark), pg_sequence_last_value(ids), 0);
END
$$;
COMMENT ON FUNCTION pgmq._last_id(regclass, regclass) IS
'The msg_id above which a queue that is partitioned by msg_id has no message.';

CREATE OR REPLACE FUNCTION pgmq._first_time(floor_mark regclass)
RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    -- Messages of this transaction itself are not before its beginning.
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
COMMENT ON FUNCTION pgmq._first_time(regclass) IS
'The enqueued_at before which a queue that is partitioned by it has no message.';

CREATE OR REPLACE FUNCTION pgmq._last_time(top_mark regclass)
RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    -- The clock may be set back by less than a minute: messages from before that are live at once.
    RETURN greatest(
        clock_timestamp() + interval '1 minute',
        to_timestamp(
            pg_catalog.pg_sequence_last_value(top_mark)::double precision / '1e6'
        ) + interval '1 second'
    );
END
$$;
COMMENT ON FUNCTION pgmq._last_time(regclass) IS
'The enqueued_at after which a queue that is partitioned by it has no message.';

-- For dynamic SQL, which is planned each time anyway, and for rendering templates.
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
'The column that a queue is partitioned by, and the SQL of the bounds of its values among messages.

Nulls for a queue that is not partitioned.';

CREATE OR REPLACE FUNCTION pgmq._live_range(queue_name text)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_bounds record;
BEGIN
    SELECT b.* INTO v_bounds
    FROM pgmq._bounds(pgmq._queue_table(queue_name), pgmq._suffix(queue_name)) AS b;
    IF v_bounds.key IS NULL THEN
        RETURN 'true';
    END IF;
    RETURN format('q.%I BETWEEN %s AND %s', v_bounds.key, v_bounds.first, v_bounds.last);
END
$$;
COMMENT ON FUNCTION pgmq._live_range(text) IS
'A condition in SQL, on q, that confines a scan of a queue to the partitions with messages.';

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
COMMENT ON FUNCTION pgmq._id_front(regclass, regclass, bigint, bigint) IS
'The msg_id up to which partitions by msg_id are looked at first.';

CREATE OR REPLACE FUNCTION pgmq._floor_slack()
RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT '5 minutes'::interval
$$;
COMMENT ON FUNCTION pgmq._floor_slack() IS
'How far floor_mark, if it is a time, stays behind what has been looked at.

A message has the time at which its transaction began, which may be that long before it was sent. A
sweep finds older ones.';

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
        + span + pgmq._floor_slack(),
        last_time
    );
END
$$;
COMMENT ON FUNCTION pgmq._time_front(regclass, interval, timestamptz) IS
'The time up to which partitions by time are looked at first.';

CREATE OR REPLACE FUNCTION pgmq._partition_key(msg_id bigint)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT msg_id
$$;
COMMENT ON FUNCTION pgmq._partition_key(bigint) IS 'A msg_id as a partition mark holds it.';

CREATE OR REPLACE FUNCTION pgmq._partition_key(enqueued_at timestamptz)
RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT pgmq._microseconds(enqueued_at)
$$;
COMMENT ON FUNCTION pgmq._partition_key(timestamptz) IS
'An enqueued_at as a partition mark holds it.';
