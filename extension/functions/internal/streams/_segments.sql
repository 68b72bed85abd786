-- Segments are the partitions of a stream, by msg_id. Where a segment ends at a time, the ids that
-- it has left are passed over. pgmq.stream_segment says when each segment began and ended; no
-- message of a segment that has ended was sent after that.
CREATE OR REPLACE FUNCTION pgmq._end_segments(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_queue CONSTANT regclass := pgmq._queue_table(queue_name);
    v_settings pgmq.partitioning;
    v_current pgmq.stream_segment;
    v_end bigint;
    v_last bigint;
    v_now timestamptz;
BEGIN
    SELECT p.* INTO STRICT v_settings
    FROM pgmq.partitioning AS p
    WHERE lower(p.queue_name) = lower(_end_segments.queue_name) AND NOT p.is_archive;
    LOOP
        SELECT s.* INTO v_current
        FROM pgmq.stream_segment AS s
        WHERE s.queue_name = v_settings.queue_name AND s.ended_at IS NULL
        FOR UPDATE;
        EXIT WHEN NOT FOUND;
        v_last := pgmq._current_key(queue_name, 'msg_id');
        v_end := (
            SELECT p.end_key FROM pgmq._partitions(v_queue) AS p
            WHERE p.first_key = v_current.first_id
        );
        v_end := coalesce(v_end, v_current.first_id + v_settings.partition_interval::bigint);
        IF v_last < v_end - 1 THEN
            -- An empty segment need not end.
            EXIT WHEN v_settings.segment_interval IS NULL OR v_last < greatest(v_current.first_id, 1)
                OR NOT pgmq._is_over(
                    v_settings.segment_interval, v_current.began_at, clock_timestamp()
                );
            -- Until they were locked out, others may have drawn more.
            v_last := pgmq._skip_ids(v_queue, v_end);
            EXIT WHEN v_last IS NULL;
        ELSIF v_settings.segment_interval IS NOT NULL THEN
            -- Who passed over its ids may have been rolled back, which setval() is not. So it ends
            -- with its last message, which is known when none can come any more.
            EXIT WHEN pgmq._keeps_snapshot() OR pgmq._settled(v_queue, v_end - 2) < v_end;
            EXECUTE format(
                'SELECT coalesce(max(m.msg_id), $1 - 1) FROM %s AS m'
                ' WHERE m.msg_id >= $1 AND m.msg_id < $2', v_queue
            ) INTO v_last USING greatest(v_current.first_id, 1), v_end;
        END IF;
        UPDATE pgmq.partitioning AS p
        SET skipped_ids = p.skipped_ids + v_end - 1 - v_last
        WHERE p.queue_name = v_settings.queue_name AND NOT p.is_archive AND v_last < v_end - 1;
        v_now := clock_timestamp();
        UPDATE pgmq.stream_segment AS s
        SET last_id = least(v_last, v_end - 1), ended_at = v_now
        WHERE s.queue_name = v_settings.queue_name AND s.first_id = v_current.first_id;
        INSERT INTO pgmq.stream_segment (queue_name, first_id, began_at)
        VALUES (v_settings.queue_name, v_end, v_now);
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._end_segments(text) IS
'Note which segments of a stream have ended, and end the current one if its time is over.';

CREATE OR REPLACE FUNCTION pgmq._is_over(
    segment_interval text,
    began_at timestamptz,
    moment timestamptz
)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgmq._partition_start(
        segment_interval, pgmq._microseconds(moment), pgmq._partition_anchor(segment_interval)
    ) > pgmq._microseconds(began_at)
$$;
COMMENT ON FUNCTION pgmq._is_over(text, timestamptz, timestamptz) IS
'Whether a segment that began at a time is to end: another interval has begun since.';

CREATE OR REPLACE FUNCTION pgmq._skip_ids(queue regclass, next_id bigint)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_ids CONSTANT regclass := pg_get_serial_sequence(queue::text, 'msg_id');
    v_last bigint;
BEGIN
    -- While others may draw ids, a lower one could be set. A transaction that has written keeps this
    -- lock, and others behind it, waiting: so it is not even asked for while one stays open.
    IF (pgmq._writing(queue)).writers <> '{}' THEN
        PERFORM pg_sleep(0.005);
        IF (pgmq._open_writer(queue, '50 milliseconds')).holder IS NOT NULL THEN
            RETURN null;
        END IF;
    END IF;
    EXECUTE format(
        'LOCK TABLE ONLY %s IN SHARE ROW EXCLUSIVE MODE %s', queue,
        CASE WHEN pgmq._must_not_wait(queue) THEN 'NOWAIT' END
    );
    v_last := coalesce(pg_sequence_last_value(v_ids), 0);
    IF v_last < next_id - 1 THEN
        PERFORM setval(v_ids, next_id - 1);
    END IF;
    RETURN v_last;
EXCEPTION
    WHEN lock_not_available OR deadlock_detected THEN
        RETURN null;
END
$$;
COMMENT ON FUNCTION pgmq._skip_ids(regclass, bigint) IS
'Have the next message of a stream get this msg_id, or a later one, and return the last before.

Null if the stream is in use.';

CREATE OR REPLACE FUNCTION pgmq._messages_between(queue_name text, behind bigint, up_to bigint)
RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(sum(greatest(
        least(coalesce(s.last_id, up_to), up_to) - greatest(s.first_id - 1, behind, 0), 0
    )), 0)::bigint
    FROM pgmq.stream_segment AS s
    WHERE lower(s.queue_name) = lower(_messages_between.queue_name)
$$;
COMMENT ON FUNCTION pgmq._messages_between(text, bigint, bigint) IS
'How many msg_ids were drawn behind one and up to another, rolled back ones included.';

CREATE OR REPLACE FUNCTION pgmq._ended_segments(queue_name text)
RETURNS TABLE (
    first_id bigint,
    last_id bigint,
    end_id bigint,
    old_since timestamptz,
    is_unread boolean
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_settings pgmq.partitioning;
    v_last bigint := pgmq._current_key(queue_name, 'msg_id');
    v_read CONSTANT bigint := (
        SELECT min(l.done)
        FROM pgmq._lanes(queue_name) AS l
        INNER JOIN pgmq._groups_of(queue_name) AS g ON l.group_name = g.group_name
        WHERE g.keep_unread
    );
BEGIN
    SELECT p.* INTO v_settings
    FROM pgmq._partitioning_of(queue_name, false) AS p;
    -- How many of its ids a segment that ends at a time has used is known once its end is noted.
    v_last := coalesce((
        SELECT s.first_id - 1
        FROM pgmq._segments_of(queue_name) AS s
        WHERE s.ended_at IS NULL
            AND v_settings.segment_interval IS NOT NULL
            AND v_last >= s.first_id + v_settings.partition_interval::bigint - 1
    ), v_last);
    RETURN QUERY
        SELECT
            s.first_id, s.last_id, lead(s.first_id) OVER w,
            CASE
                WHEN v_settings.retention_interval IS NULL THEN null
                -- The segment is old since so many messages came after it, which is known only by
                -- the end of later segments.
                WHEN NOT pgmq._is_id_interval(v_settings.retention_interval)
                    THEN s.ended_at + v_settings.retention_interval::interval
                WHEN pgmq._messages_between(v_settings.queue_name, s.last_id, v_last)
                    >= v_settings.retention_interval::bigint
                    THEN s.ended_at
            END,
            coalesce(s.last_id > v_read, false)
        FROM pgmq._segments_of(queue_name) AS s
        WINDOW w AS (ORDER BY s.first_id);
END
$$;
COMMENT ON FUNCTION pgmq._ended_segments(text) IS
'The segments of a stream, and since when retention no longer keeps each: old_since.

That is null, or a later time, for those that are kept. is_unread is whether a group with keep_unread
has still to read one. The current segment has no last_id and no end_id.';

CREATE OR REPLACE FUNCTION pgmq._lanes(queue_name text, reader text DEFAULT null)
RETURNS SETOF pgmq.stream_lane
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET row_security = on       -- off, what the caller may not see would be an error
AS $$
BEGIN
    IF pgmq._relation('lane', queue_name) IS NULL THEN
        RETURN;         -- it is no stream
    END IF;
    RETURN QUERY EXECUTE format(
        $sql$
        SELECT
            l.group_name, l.lane, l.done, l.leased, l.vt, l.epoch, l.size,
            cardinality(l.failed), l.pid, l.changed_at, l.error
        FROM pgmq._groups_of($1) AS g
        CROSS JOIN generate_series(0, g.lanes - 1) AS n (lane)
        CROSS JOIN LATERAL (
            SELECT s.*
            FROM pgmq.%I AS s
            WHERE s.group_name = g.group_name AND s.lane = n.lane
            ORDER BY s.group_name DESC, s.lane DESC, s.version DESC
            LIMIT 1
        ) AS l
        WHERE $2 IS NULL OR g.group_name = $2
        $sql$,
        pgmq._relation_name('lane', queue_name)
    ) USING queue_name, reader;
END
$$;
COMMENT ON FUNCTION pgmq._lanes(text, text) IS
'The state of the lanes of a group (null: of all groups) of a stream that the caller may see.';

CREATE OR REPLACE FUNCTION pgmq._held_back(
    queue_name text,
    behind bigint,
    OUT bytes bigint,
    OUT since timestamptz
)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(sum(pg_total_relation_size(p.partition)), 0)::bigint, min(s.old_since)
    FROM pgmq._ended_segments(queue_name) AS s
    INNER JOIN pgmq._partitions(pgmq._queue_table(queue_name)) AS p ON s.first_id = p.first_key
    WHERE s.old_since < clock_timestamp() AND s.last_id > behind
$$;
COMMENT ON FUNCTION pgmq._held_back(text, bigint) IS
'The size of the segments with messages behind a msg_id that retention would drop, and since when.';
