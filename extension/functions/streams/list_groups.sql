CREATE OR REPLACE FUNCTION pgmq.list_groups(stream_name text DEFAULT null)
RETURNS TABLE (
    queue_name text,
    group_name text,
    lanes integer,
    committed bigint,
    lag bigint,
    lag_seconds integer,
    leased_lanes integer,
    failing_lanes integer,
    error text,
    waits_for text,
    max_deliveries integer,
    dead_letter_queue text,
    keep_unread boolean,
    held_bytes bigint,
    held_since timestamptz,
    created_at timestamptz
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_callers CONSTANT oid[] := CASE
        WHEN stream_name IS NULL THEN pgmq._powerful_callers() ELSE '{}'::oid[]
    END;
    v_others text[] := '{}'::text[];
    v_group pgmq.stream_group;
    v_lane_table regclass;
    v_lanes record;
    v_lag record;
BEGIN
    IF stream_name IS NOT NULL THEN
        PERFORM pgmq._compiled('fetch', stream_name);   -- an error unless it is a stream
        PERFORM pgmq._may_use_lanes('SELECT', stream_name);
    END IF;
    FOR v_group IN
        SELECT g.* FROM pgmq._groups_of(stream_name) AS g
        ORDER BY g.queue_name, g.group_name
    LOOP
        v_lane_table := pgmq._relation('lane', v_group.queue_name);
        CONTINUE WHEN has_table_privilege(v_lane_table, 'SELECT') IS NOT true;
        BEGIN
            IF NOT pgmq._is_safe_to_touch(v_lane_table, v_callers)
                OR NOT pgmq._is_safe_to_touch(pgmq._queue_table(v_group.queue_name), v_callers)
            THEN
                v_others := array_remove(v_others, v_group.queue_name) || v_group.queue_name;
                CONTINUE;
            END IF;
            SELECT
                array_agg(l.done ORDER BY l.lane) AS done,
                count(*) FILTER (WHERE l.leased > l.done AND l.vt > clock_timestamp()) AS leased,
                count(*) FILTER (WHERE l.failures > 0) AS failing,
                (array_agg(l.error ORDER BY l.failures DESC, l.changed_at DESC))[1] AS error
            INTO v_lanes
            FROM pgmq._lanes(v_group.queue_name, v_group.group_name) AS l;
            CONTINUE WHEN v_lanes.done IS NULL;         -- not for the caller
            SELECT l.* INTO v_lag FROM pgmq._lag(v_group.queue_name, v_lanes.done) AS l;
            queue_name := v_group.queue_name;
            group_name := v_group.group_name;
            lanes := v_group.lanes;
            committed := (SELECT min(d.id) FROM unnest(v_lanes.done) AS d (id));
            IF v_group.keep_unread THEN
                SELECT h.* INTO held_bytes, held_since
                FROM pgmq._held_back(v_group.queue_name, committed) AS h;
            ELSE
                held_bytes := 0;
                held_since := null;
            END IF;
            lag := v_lag.messages;
            lag_seconds := extract(epoch FROM clock_timestamp() - v_lag.oldest);
            leased_lanes := v_lanes.leased;
            failing_lanes := v_lanes.failing;
            error := v_lanes.error;
            waits_for := CASE WHEN v_lag.messages > 0 THEN (
                SELECT w.holder
                FROM pgmq._open_writer(pgmq._queue_table(v_group.queue_name), '1 second') AS w
            ) END;
            max_deliveries := v_group.max_deliveries;
            dead_letter_queue := v_group.dead_letter_queue;
            keep_unread := v_group.keep_unread;
            created_at := v_group.created_at;
            RETURN NEXT;
            -- The rollback releases the locks: to wait for a stream with those of others would be a
            -- deadlock with whoever drops both.
            RAISE EXCEPTION 'looked' USING ERRCODE = 'PGMQ0';
        EXCEPTION
            WHEN SQLSTATE 'PGMQ0' THEN
                null;
            WHEN OTHERS THEN
                -- The stream may have been dropped meanwhile; any other failure is raised again.
                IF stream_name IS NOT NULL
                    OR pg_relation_size(v_lane_table) IS NOT NULL
                THEN
                    RAISE;
                END IF;
        END;
    END LOOP;
    PERFORM pgmq._warn_of_others(
        'list_groups()', v_others,
        'Name the stream, or call it as a member of pg_monitor without more rights.'
    );
END
$$;
COMMENT ON FUNCTION pgmq.list_groups(text) IS
'The groups of a stream (null: of all streams): how far each has read, and what it keeps.

committed: everything up to this msg_id is committed, in all lanes. lag: how many messages are not,
counted up to 1,000, and then by msg_ids, rolled back ones included. lag_seconds: the age of the
oldest of them, null if there is none. leased_lanes: how many are leased right now. failing_lanes
and error: how many have failed with what comes next, and why. waits_for: a transaction that has
sent to the stream and has been open for a second, so that nothing behind it can be read; null
without one, or without lag. held_bytes and held_since: what retention would have dropped but for
this group, which has yet to read it, and since when; 0 and null if that is nothing.

Only groups that the caller may read as, or monitor, are shown. Without a name, streams are left
out whose owner could use the caller''s rights, as those of others are for a superuser, with a
warning.';

CREATE OR REPLACE FUNCTION pgmq._lag(
    queue_name text,
    done bigint[],
    OUT messages bigint,
    OUT oldest timestamptz
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_exact CONSTANT bigint := 1000;
    v_looked bigint;
    v_last bigint;
BEGIN
    EXECUTE format(
        $sql$
        SELECT
            count(*),
            count(*) FILTER (WHERE m.msg_id > $1[1 + m.lane]),
            (array_agg(m.enqueued_at ORDER BY m.msg_id) FILTER (WHERE m.msg_id > $1[1 + m.lane]))[1]
        FROM (
            SELECT
                q.msg_id, q.enqueued_at, pgmq._lane_of(q.key_hash, q.msg_id, $4) AS lane
            FROM pgmq.%I AS q
            WHERE q.msg_id > $2
            ORDER BY q.msg_id
            LIMIT $3 + 1
        ) AS m
        $sql$,
        pgmq.format_table_name(queue_name, 'q')
    ) INTO v_looked, messages, oldest
    USING done, (SELECT min(d.id) FROM unnest(done) AS d (id)), v_exact, cardinality(done);
    IF v_looked > v_exact THEN
        v_last := pgmq._current_key(queue_name, 'msg_id');
        messages := (
            SELECT (sum(pgmq._messages_between(queue_name, d.id, v_last)) / cardinality(done))::bigint
            FROM unnest(done) AS d (id)
        );
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._lag(text, bigint[]) IS
'How many messages of a stream are behind these positions of lanes, and the time of the oldest.';
