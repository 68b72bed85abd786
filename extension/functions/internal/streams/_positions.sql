-- Where in a stream a group begins to read: behind which msg_id.
CREATE OR REPLACE FUNCTION pgmq._position(queue_name text, start text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_queue CONSTANT regclass := pgmq._queue_table(queue_name);
    v_earliest CONSTANT bigint := greatest(
        (SELECT min(p.first_key) FROM pgmq._partitions(v_queue) AS p) - 1, 0
    );
    v_start bigint;
    v_time timestamptz;
BEGIN
    IF start IS NULL THEN
        PERFORM pgmq._raise_null(
            'start', 'Give ''earliest'', ''latest'', a msg_id, or a time.'
        );
    ELSIF start = 'earliest' THEN
        RETURN v_earliest;
    ELSIF start = 'latest' THEN
        RETURN pgmq._place_of(queue_name, 'infinity');
    ELSIF start ~ '^ *[0-9]{1,18} *$' THEN
        v_start := start::bigint;
        IF v_start > pgmq._current_key(queue_name, 'msg_id') + 1 THEN
            RAISE EXCEPTION 'stream "%" has no message % yet', queue_name, v_start
                USING ERRCODE = 'invalid_parameter_value',
                    HINT = 'Start at ''latest'' to read what will be sent.';
        END IF;
        RETURN greatest(v_start - 1, 0);
    END IF;
    BEGIN
        v_time := start::timestamptz;
    EXCEPTION
        WHEN invalid_datetime_format OR datetime_field_overflow OR invalid_parameter_value THEN
            RAISE EXCEPTION 'a group cannot start at "%"', start
                USING ERRCODE = 'invalid_parameter_value',
                    HINT = 'Give ''earliest'', ''latest'', a msg_id, or a time.';
    END;
    PERFORM pgmq._check_reads_committed();      -- or it would pass over what it does not see
    RETURN pgmq._place_of(queue_name, v_time);
END
$$;
COMMENT ON FUNCTION pgmq._position(text, text) IS
'The msg_id behind which a group reads that starts at "earliest", "latest", a msg_id, or a time.';

CREATE OR REPLACE FUNCTION pgmq._place_of(queue_name text, moment timestamptz)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_queue CONSTANT regclass := pgmq._queue_table(queue_name);
    v_settled CONSTANT bigint := greatest(pgmq._settled(v_queue, 0), 1);
    -- What lies in segments that had ended before that time was sent before it.
    v_from CONSTANT bigint := (
        SELECT max(s.last_id)
        FROM pgmq._segments_of(queue_name) AS s
        WHERE s.ended_at < moment
    );
    v_place bigint;
BEGIN
    -- From there on messages are looked at one by one: those of a transaction have the time of its
    -- beginning, so the times do not always rise with the ids.
    IF moment < clock_timestamp() THEN
        EXECUTE format(
            'SELECT m.msg_id FROM %s AS m'
            ' WHERE m.msg_id > $1 AND m.msg_id < $2 AND m.enqueued_at >= $3'
            ' ORDER BY m.msg_id LIMIT 1', v_queue
        ) INTO v_place USING coalesce(v_from, 0), v_settled, moment;
    END IF;
    -- The first message may not be committed yet. It is not among ids that follow each other without
    -- a gap.
    IF v_place IS NULL THEN
        EXECUTE format(
            $sql$
            SELECT $1 - 1 + coalesce(min(s.place) FILTER (WHERE s.is_it), 1 + count(*))
            FROM (
                SELECT
                    row_number() OVER w AS place,
                    m.msg_id <> $1 - 1 + row_number() OVER w OR m.enqueued_at >= $2 AS is_it
                FROM (
                    SELECT q.msg_id, q.enqueued_at FROM %s AS q
                    WHERE q.msg_id >= $1
                    ORDER BY q.msg_id
                    LIMIT 100000
                ) AS m
                WINDOW w AS (ORDER BY m.msg_id)
            ) AS s
            $sql$, v_queue
        ) INTO v_place USING v_settled, moment;
    END IF;
    RETURN v_place - 1;
END
$$;
COMMENT ON FUNCTION pgmq._place_of(text, timestamptz) IS
'The msg_id behind which the first message comes that was, or will be, sent at a time or later.

Messages that are not committed yet may be sent then. So, if need be, it is before the first of them.';

CREATE OR REPLACE FUNCTION pgmq._stream_name(stream_name text)
RETURNS text
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_owner regrole;
BEGIN
    PERFORM pgmq._compiled('fetch', stream_name);       -- an error unless it is a stream
    v_owner := pgmq._owner(pgmq._queue_table(stream_name));
    IF NOT pg_has_role(v_owner, 'USAGE') THEN
        RAISE EXCEPTION 'only the owner of stream "%" decides on its groups', stream_name
            USING ERRCODE = 'insufficient_privilege', HINT = format('That is role %s.', v_owner);
    END IF;
    RETURN pgmq._lock_queue(stream_name);
END
$$;
COMMENT ON FUNCTION pgmq._stream_name(text) IS
'A stream''s name as it was created; hold its lock, and raise an error for all but its owner.';

CREATE OR REPLACE FUNCTION pgmq._existing_group(stream_name text, group_name text)
RETURNS pgmq.stream_group
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_group pgmq.stream_group;
BEGIN
    SELECT g.* INTO v_group
    FROM pgmq._groups_of(stream_name) AS g
    WHERE g.group_name = _existing_group.group_name;
    IF NOT FOUND THEN
        PERFORM pgmq._raise_no_group(stream_name, group_name);
    END IF;
    RETURN v_group;
END
$$;
COMMENT ON FUNCTION pgmq._existing_group(text, text) IS
'A group of a stream and its options; raise an error for an unknown one.';

CREATE OR REPLACE FUNCTION pgmq._check_group(options pgmq.stream_group)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF options.group_name IS NULL THEN
        PERFORM pgmq._raise_null('group name', 'Give a name of up to 255 bytes.');
    END IF;
    IF octet_length(options.group_name) NOT BETWEEN 1 AND 255 THEN
        RAISE EXCEPTION 'group name "%" must have 1 to 255 bytes, not %',
            left(options.group_name, 40), octet_length(options.group_name)
            USING ERRCODE = 'name_too_long', HINT = 'Choose another name.';
    END IF;
    IF options.lanes IS NULL OR options.lanes NOT BETWEEN 1 AND 64 THEN
        RAISE EXCEPTION 'lanes must be between 1 and 64: %', coalesce(options.lanes::text, 'null')
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'It is how many consumers of the group work at once.';
    END IF;
    IF options.max_deliveries NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION 'max_deliveries must be between 1 and 200: %', options.max_deliveries
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Null means no limit.';
    END IF;
    IF options.max_deliveries IS NOT NULL AND options.dead_letter_queue IS NULL THEN
        RAISE EXCEPTION 'max_deliveries needs a dead_letter_queue: %', options.max_deliveries
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'A message that fails for the last time has to go somewhere.';
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._check_group(pgmq.stream_group) IS
'Raise an error unless the options of a group make sense.';

CREATE OR REPLACE FUNCTION pgmq._move_group(queue_name text, group_name text, behind bigint)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_table CONSTANT text := pgmq._relation_name('lane', queue_name);
    v_lane integer;
    v_version bigint;
BEGIN
    -- In the order of their numbers: two that do this at once must not wait for each other.
    FOR v_lane IN SELECT generate_series(0, g.lanes - 1)
        FROM pgmq._groups_of(queue_name) AS g
        WHERE g.group_name = _move_group.group_name
    LOOP
        -- This waits for a transaction that is reading the lane, and then there is another version.
        LOOP
            v_version := (pgmq._lane_state(queue_name, group_name, v_lane)).version;
            EXIT WHEN v_version IS NULL;
            EXECUTE format(
                'SELECT l.version FROM pgmq.%I AS l'
                ' WHERE l.group_name = $1 AND l.lane = $2 AND l.version = $3 FOR UPDATE',
                v_table
            ) INTO v_version USING group_name, v_lane, v_version;
            EXIT WHEN v_version IS NOT NULL;
        END LOOP;
        IF v_version IS NULL THEN
            PERFORM pgmq._raise_no_group(queue_name, group_name);
        END IF;
        PERFORM pgmq._change_lane(
            queue_name, group_name, v_lane, v_version,
            jsonb_build_object(
                'done', behind, 'leased', behind, 'vt', '-infinity'::timestamptz, 'size', 0,
                'failed', '{}'::bigint[], 'pid', null, 'error', null
            )
        );
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._move_group(text, text, bigint) IS
'Have all lanes of a group read what is behind this msg_id, and end their leases.';
