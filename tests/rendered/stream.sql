CREATE OR REPLACE FUNCTION pgmq._anchor_stream()
RETURNS pgmq.queue_record
LANGUAGE sql STABLE
AS $$
    SELECT null::pgmq.queue_record
$$;

CREATE OR REPLACE FUNCTION pgmq._commit_stream(
    reader text,
    number integer,
    lease bigint,
    up_to bigint
)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_state record;
BEGIN
    PERFORM FROM pgmq.q_stream WHERE NOT pgmq._may_use_lanes('INSERT', 'stream'::text);
    SELECT l.* INTO v_state
    FROM pgmq.lane_stream AS l
    WHERE l.group_name = reader AND l.lane = number AND l.version = lease AND l.epoch = lease
        AND l.leased > l.done
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        FOR attempt IN 1..100 LOOP
            SELECT l.* INTO v_state
            FROM pgmq.lane_stream AS l
            WHERE l.group_name = reader AND l.lane = number
            ORDER BY l.group_name DESC, l.lane DESC, l.version DESC
            LIMIT 1;
            IF NOT FOUND THEN
                PERFORM pgmq._raise_no_lane('stream'::text, reader, number);
            END IF;
            IF v_state.epoch IS DISTINCT FROM lease OR v_state.leased = v_state.done THEN
                RETURN false;
            END IF;
            PERFORM FROM pgmq.lane_stream AS l
            WHERE l.group_name = reader AND l.lane = number AND l.version = v_state.version
            FOR UPDATE SKIP LOCKED;
            EXIT WHEN FOUND;
            IF attempt = 100 THEN
                RETURN false;
            END IF;
            PERFORM pg_sleep('0.001'::double precision);
        END LOOP;
    END IF;
    IF up_to NOT BETWEEN v_state.done AND v_state.leased THEN
        PERFORM pgmq._raise_not_leased(reader, number, up_to);
    END IF;
    IF up_to < v_state.leased THEN
        v_state.done := up_to;
    ELSE
        v_state.done := v_state.leased;
        v_state.vt := '-infinity';
        v_state.pid := null;
    END IF;
    IF pg_catalog.cardinality(v_state.failed) > 0 THEN
        v_state.failed := pgmq._still_failed(v_state.failed, v_state.done);
        IF pg_catalog.cardinality(v_state.failed) = 0 THEN
            v_state.error := null;
        END IF;
    END IF;
    WITH before AS (
        DELETE FROM pgmq.lane_stream AS l
        WHERE l.group_name = reader AND l.lane = number AND l.version = v_state.version
    )
    INSERT INTO pgmq.lane_stream
    SELECT
        reader, number, nextval('pgmq.epoch_stream'::regclass), v_state.lanes, v_state.done,
        v_state.leased, v_state.epoch, v_state.vt, v_state.size, v_state.pid, clock_timestamp(),
        v_state.failed, v_state.error;
    RETURN true;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._deadletter_stream(
    reader text,
    number integer,
    id bigint,
    deliveries integer,
    error text
)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_state record;
    v_message record;
    v_queue text;
BEGIN
    SELECT l.done, l.xmin AS changed_by INTO v_state
    FROM pgmq.lane_stream AS l
    WHERE l.group_name = reader AND l.lane = number
    ORDER BY l.group_name DESC, l.lane DESC, l.version DESC
    LIMIT 1;
    SELECT m.enqueued_at, m.message, m.headers INTO v_message
    FROM pgmq.q_stream AS m
    WHERE m.msg_id = id;
    IF NOT FOUND OR NOT v_state.done >= id OR NOT pgmq._is_own(v_state.changed_by) THEN
        RETURN;
    END IF;
    SELECT g.dead_letter_queue INTO v_queue
    FROM pgmq._groups_of('stream'::text) AS g
    WHERE g.group_name = reader;
    EXECUTE format(
        'INSERT INTO pgmq.%I (vt, message, headers) VALUES (now(), $1, $2)',
        pgmq.format_table_name(v_queue, 'q')
    ) USING v_message.message, pgmq._group_dead_letter(
        v_message.headers, 'stream'::text, id, deliveries, v_message.enqueued_at, reader, error
    );
END
$$;

CREATE OR REPLACE FUNCTION pgmq._enqueue_stream(
    msg jsonb,
    msg_headers jsonb,
    visible_at timestamptz,
    OUT msg_id bigint
)
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    IF visible_at > clock_timestamp() THEN
        PERFORM pgmq._refuse_delay('stream'::text);
    END IF;
    INSERT INTO pgmq.q_stream AS q (enqueued_at, message, headers)
    VALUES (
        CASE WHEN pgmq._may('INSERT', 'stream'::text, 'pgmq.q_stream') THEN now() END,
        msg,
        msg_headers
    )
    RETURNING q.msg_id INTO msg_id;
    IF pgmq._chance(1, 64) THEN
        PERFORM pgmq._tend_stream();
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._fetch_stream(
    reader text,
    seconds integer,
    quantity integer,
    alike anyelement
)
RETURNS SETOF anyelement
LANGUAGE plpgsql VOLATILE ROWS 100
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_now CONSTANT timestamptz := clock_timestamp();
    v_next bigint;
    v_lanes integer;
    v_first integer;
    v_numbers integer[] := '{0}'::integer[];
    v_number integer;
    v_state record;
    v_settled bigint;
    v_is_fresh boolean := false;
    v_failures integer;
    v_limit integer;
    v_window integer;
    v_place bigint;
    v_bound bigint;
    v_end bigint;
    v_looked integer;
    v_last bigint;
    v_is_searched boolean;
    v_count integer;
    v_size integer;
    v_epoch bigint;
    v_is_behind boolean := false;
BEGIN
    PERFORM FROM pgmq.q_stream WHERE NOT pgmq._may_use_lanes('INSERT', 'stream'::text);
    v_next := 1 + coalesce(pg_catalog.pg_sequence_last_value('pgmq.q_stream_msg_id_seq'), 0);
    SELECT l.* INTO v_state
    FROM pgmq.lane_stream AS l
    WHERE l.group_name = reader
    ORDER BY l.group_name DESC, l.lane DESC, l.version DESC
    LIMIT 1;
    IF NOT FOUND THEN
        PERFORM pgmq._raise_no_group('stream'::text, reader);
    END IF;
    v_lanes := v_state.lanes;
    IF v_lanes > 1 THEN
        v_first := floor(random() * v_lanes::double precision)::integer;
        v_numbers := ARRAY(
            SELECT l.lane
            FROM generate_series(0, v_lanes - 1) AS n (lane)
            CROSS JOIN LATERAL (
                SELECT s.lane, s.vt, s.done
                FROM pgmq.lane_stream AS s
                WHERE s.group_name = reader AND s.lane = n.lane
                ORDER BY s.group_name DESC, s.lane DESC, s.version DESC
                LIMIT 1
            ) AS l
            WHERE l.vt <= v_now AND l.done < v_next - 1
            ORDER BY (n.lane + v_first) % v_lanes
        );
    END IF;
    <<lanes>>
    FOREACH v_number IN ARRAY v_numbers LOOP
        IF v_lanes > 1 THEN
            SELECT l.* INTO v_state
            FROM pgmq.lane_stream AS l
            WHERE l.group_name = reader AND l.lane = v_number
            ORDER BY l.group_name DESC, l.lane DESC, l.version DESC
            LIMIT 1;
            CONTINUE WHEN NOT FOUND;
        END IF;
        CONTINUE WHEN v_state.vt > v_now OR v_state.done >= v_next - 1;
        IF v_settled IS NULL THEN
            v_settled := pgmq._settled('pgmq.q_stream', v_state.done, v_lanes * quantity);
        ELSIF v_state.done >= v_settled - 1 AND v_settled < v_next AND NOT v_is_fresh THEN
            v_settled := pgmq._settled('pgmq.q_stream', v_settled - 1);
            v_is_fresh := true;
        END IF;
        IF v_state.done >= v_settled - 1 THEN
            v_settled := 1 + coalesce(
                (
                    SELECT max(s.msg_id)
                    FROM (
                        SELECT m.msg_id, row_number() OVER (ORDER BY m.msg_id) AS place
                        FROM pgmq.q_stream AS m
                        WHERE m.msg_id > v_state.done AND m.msg_id < v_next
                        ORDER BY m.msg_id
                        LIMIT quantity
                    ) AS s
                    WHERE s.msg_id = v_state.done + s.place
                ),
                v_state.done
            );
            CONTINUE WHEN v_state.done >= v_settled - 1;
        END IF;
        v_limit := quantity;
        IF v_state.leased > v_state.done THEN
            CONTINUE WHEN NOT pgmq._lock_lane(
                'stream'::text, reader, v_number, v_state.version
            );
            PERFORM pgmq._give_back(
                'stream'::text, reader, v_number, v_now, 'the lease ended without a commit'
            );
            SELECT l.* INTO v_state
            FROM pgmq.lane_stream AS l
            WHERE l.group_name = reader AND l.lane = v_number
            ORDER BY l.group_name DESC, l.lane DESC, l.version DESC
            LIMIT 1;
            CONTINUE WHEN v_state.vt > v_now;
        END IF;
        v_bound := v_settled;
        v_failures := pg_catalog.cardinality(v_state.failed);
        IF v_failures > 0 THEN
            v_limit := pgmq._piece('stream'::text, reader, v_failures, quantity);
            v_bound := least(v_settled, v_state.failed[v_failures] + 1);
        END IF;

        v_end := least(v_bound, ((v_state.done + 1) / '100'::bigint + 1) * '100'::bigint);
        v_place := v_state.done;
        v_looked := 0;
        v_size := 0;
        v_epoch := null;
        v_last := CASE WHEN v_lanes = 1 THEN least(v_place + v_limit, v_end - 1) END;
        v_is_searched := v_last IS NULL;
        LOOP
            WHILE v_last IS NULL LOOP
                v_window := CASE
                    WHEN v_lanes = 1 THEN v_limit - v_size ELSE 1000 + 2 * v_lanes * v_limit
                END;
                v_last := (
                    SELECT max(b.msg_id)
                    FROM (
                        SELECT w.msg_id
                        FROM (
                            SELECT m.msg_id, m.key_hash
                            FROM pgmq.q_stream AS m
                            WHERE m.msg_id > v_place AND m.msg_id < v_end
                            ORDER BY m.msg_id
                            LIMIT v_window
                        ) AS w
                        WHERE v_lanes = 1 OR pgmq._lane_of(w.key_hash, w.msg_id, v_lanes) = v_number
                        LIMIT v_limit - v_size
                    ) AS b
                );
                EXIT WHEN v_last IS NOT NULL OR v_size > 0;
                v_place := coalesce(
                    (
                        SELECT max(w.msg_id)
                        FROM (
                            SELECT m.msg_id
                            FROM pgmq.q_stream AS m
                            WHERE v_lanes > 1 AND m.msg_id > v_place AND m.msg_id < v_end
                            ORDER BY m.msg_id
                            LIMIT v_window
                        ) AS w
                    ),
                    v_end - 1
                );
                v_looked := v_looked + v_window;
                IF v_place >= v_end - 1 AND v_end < v_bound THEN
                    v_end := v_bound;
                ELSIF v_place >= v_end - 1 AND v_bound < v_settled THEN
                    v_limit := quantity;
                    v_bound := v_settled;
                    v_end := v_settled;
                    v_failures := 0;
                    v_state.failed := '{}';
                    v_state.error := null;
                ELSIF v_place >= v_end - 1 AND v_settled < v_next AND NOT v_is_fresh THEN
                    v_settled := pgmq._settled('pgmq.q_stream', v_settled - 1);
                    v_is_fresh := true;
                    v_bound := v_settled;
                    v_end := v_settled;
                END IF;
                EXIT WHEN v_place >= v_end - 1 OR v_looked > 100000;
            END LOOP;
            EXIT WHEN v_last IS NULL;
            v_epoch := coalesce(v_epoch, nextval('pgmq.epoch_stream'::regclass));
            RETURN QUERY
                SELECT
                    v_number, v_epoch, m.msg_id, v_failures + 1, m.enqueued_at, m.message, m.headers
                FROM pgmq.q_stream AS m
                WHERE m.msg_id > v_place AND m.msg_id <= v_last
                    AND (v_lanes = 1 OR pgmq._lane_of(m.key_hash, m.msg_id, v_lanes) = v_number)
                    AND (m.msg_id > v_place) = (
                        SELECT true FROM pgmq.lane_stream AS l
                        WHERE l.group_name = reader AND l.lane = v_number
                            AND l.version = v_state.version
                        FOR UPDATE SKIP LOCKED
                    )
                ORDER BY m.msg_id;
            GET DIAGNOSTICS v_count = ROW_COUNT;
            v_size := v_size + v_count;
            EXIT WHEN v_size > 0 AND (v_is_searched OR v_size = v_limit OR v_last = v_end - 1);
            CONTINUE lanes WHEN v_size = 0 AND v_is_searched;
            v_place := CASE WHEN v_size > 0 THEN v_last ELSE v_place END;
            v_last := null;
            v_is_searched := true;
        END LOOP;
        IF v_size > 0 THEN
            v_last := coalesce(v_last, v_place);
            IF v_lanes = 1 AND v_size < v_last - v_state.done THEN
                v_last := (
                    SELECT m.msg_id FROM pgmq.q_stream AS m
                    WHERE m.msg_id > v_state.done AND m.msg_id <= v_last
                    ORDER BY m.msg_id DESC
                    LIMIT 1
                );
            END IF;
            INSERT INTO pgmq.lane_stream
            VALUES (
                reader, v_number, v_epoch, v_lanes, v_state.done, v_last, v_epoch,
                clock_timestamp() + pg_catalog.make_interval(secs => greatest(seconds, 0)),
                v_size, pg_backend_pid(), clock_timestamp(), v_state.failed, v_state.error
            );
        ELSIF v_lanes > 1 AND v_place > v_state.done + 1000 THEN
            CONTINUE WHEN NOT pgmq._lock_lane(
                'stream'::text, reader, v_number, v_state.version
            );
            v_epoch := nextval('pgmq.epoch_stream'::regclass);
            INSERT INTO pgmq.lane_stream
            VALUES (
                reader, v_number, v_epoch, v_lanes, v_place, v_place, v_epoch, '-infinity', 0, null,
                clock_timestamp(), '{}', null
            );
        ELSE
            v_is_behind := v_is_behind OR v_place > v_state.done;
            CONTINUE;
        END IF;
        DELETE FROM pgmq.lane_stream AS l
        WHERE l.group_name = reader AND l.lane = v_number AND l.version = v_state.version;
        EXIT WHEN v_size > 0;
    END LOOP;
    IF pgmq._chance(CASE WHEN v_is_behind THEN 16 ELSE 1 END, 64) THEN
        PERFORM pgmq._tend_stream();
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._keep_stream()
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER      -- whoever reads need not own the tables
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_space CONSTANT integer := pgmq._lock_space('pgmq.q_stream');
    v_now CONSTANT bigint := pgmq._microseconds(clock_timestamp());
BEGIN
    IF NOT pgmq._may_tend('pgmq.q_stream')     -- whoever calls it by hand
        OR NOT pg_try_advisory_xact_lock(v_space, -3)
    THEN
        RETURN;
    END IF;
    BEGIN
        PERFORM pgmq._maintain_partitions('stream'::text, false, thorough => false);
        PERFORM pgmq._pass_over('stream'::text);     -- last, since it locks lanes
        PERFORM setval('pgmq.tend_due_stream', v_now + least(
            60000000,
            greatest(1000000, 50 * (pgmq._microseconds(clock_timestamp()) - v_now))
        ));
    EXCEPTION
        WHEN lock_not_available OR deadlock_detected THEN
            NULL;       -- others are at work: later
        WHEN OTHERS OR query_canceled OR assert_failure THEN
            RAISE WARNING 'upkeep of the partitions of queue "%" failed: %',
                'stream'::text, SQLERRM;
    END;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._sendbatch_stream(
    msgs jsonb[],
    msg_headers jsonb[],
    visible_at timestamptz
)
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 100
AS $$
BEGIN
    IF visible_at > clock_timestamp() THEN
        PERFORM pgmq._refuse_delay('stream'::text);
    END IF;
    RETURN QUERY
        INSERT INTO pgmq.q_stream (enqueued_at, message, headers)
        SELECT now(), u.msg, u.msg_header
        FROM unnest(msgs, msg_headers) AS u (msg, msg_header)
        WHERE pgmq._may('INSERT', 'stream'::text, 'pgmq.q_stream')
        RETURNING msg_id;
    IF pgmq._chance(1, 64) THEN
        PERFORM pgmq._tend_stream();
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._tend_stream()
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER      -- whoever reads has no right to set the sequence
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now CONSTANT bigint := pgmq._microseconds(clock_timestamp());
    v_due CONSTANT bigint := coalesce(pg_sequence_last_value('pgmq.tend_due_stream'), 0);
BEGIN
    IF pgmq._keeps_snapshot() THEN
        RETURN;
    END IF;
    PERFORM pgmq._settled('pgmq.q_stream', 9223372036854775806);
    IF v_now NOT BETWEEN v_due - 60000000 AND v_due - 1
        AND pgmq._may_tend('pgmq.q_stream')     -- anybody else could put it off
    THEN
        PERFORM setval('pgmq.tend_due_stream', v_now + 1000000);    -- others need not
        PERFORM pgmq._defer_upkeep('stream'::text);
    END IF;
END
$$;
