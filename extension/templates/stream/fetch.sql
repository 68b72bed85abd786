--# for stream
-- Lease the next messages of a lane that nobody has, and return them in msg_id order.
--
-- Only what is settled is handed out: see _settled. Messages are read in a statement of their own
-- after that, and so with a newer snapshot. The newest state of a lane is read first. When messages
-- are found, the lane is locked: if that state is still there and can be locked, there is no newer
-- one, since that would have deleted it. A lane without messages is left alone: the transaction may
-- stay open, and others are to find what comes meanwhile. A key has one lane; a message without a
-- key has the lane of its id.
--
-- In a group of several lanes, the messages of others are passed over. They are looked at some
-- thousands at a time, so that a lane gets ahead even if another one has all the messages. A lane
-- that has looked over many in vain notes how far; for few, _pass_over() does that.
--
-- alike is a null of type stream_record: see receive.
CREATE OR REPLACE FUNCTION pgmq._fetch_$queue(
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
    -- Locked first: see drop_queue.
    PERFORM FROM pgmq.q_$queue WHERE NOT pgmq._may_use_lanes('INSERT', queue_name$policy);
    --# if schedules
    IF pgmq._is_tick_due('pgmq.tick_due_$queue') THEN
        PERFORM pgmq._fire(queue_name$policy);
    END IF;
    --# end
    v_next := 1 + coalesce(pg_catalog.pg_sequence_last_value('pgmq.ids_$queue'), 0);
    SELECT l.* INTO v_state
    FROM pgmq.lane_$queue AS l
    WHERE l.group_name = reader
    ORDER BY l.group_name DESC, l.lane DESC, l.version DESC
    LIMIT 1;
    IF NOT FOUND THEN
        PERFORM pgmq._raise_no_group(queue_name$policy, reader);
    END IF;
    --# if paused_reads
    RETURN;
    --# end
    v_lanes := v_state.lanes;
    IF v_lanes > 1 THEN
        v_first := floor(random() * v_lanes::double precision)::integer;
        v_numbers := ARRAY(
            SELECT l.lane
            FROM generate_series(0, v_lanes - 1) AS n (lane)
            CROSS JOIN LATERAL (
                SELECT s.lane, s.vt, s.done
                FROM pgmq.lane_$queue AS s
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
            FROM pgmq.lane_$queue AS l
            WHERE l.group_name = reader AND l.lane = v_number
            ORDER BY l.group_name DESC, l.lane DESC, l.version DESC
            LIMIT 1;
            CONTINUE WHEN NOT FOUND;
        END IF;
        CONTINUE WHEN v_state.vt > v_now OR v_state.done >= v_next - 1;
        IF v_settled IS NULL THEN
            v_settled := pgmq._settled('pgmq.q_$queue', v_state.done, v_lanes * quantity);
        ELSIF v_state.done >= v_settled - 1 AND v_settled < v_next AND NOT v_is_fresh THEN
            v_settled := pgmq._settled('pgmq.q_$queue', v_settled - 1);
            v_is_fresh := true;
        END IF;
        IF v_state.done >= v_settled - 1 THEN
            -- Somebody who writes has not ended. But ids that follow each other without a gap have
            -- all been committed.
            v_settled := 1 + coalesce(
                (
                    SELECT max(s.msg_id)
                    FROM (
                        SELECT m.msg_id, row_number() OVER (ORDER BY m.msg_id) AS place
                        FROM pgmq.q_$queue AS m
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
            -- The last lease has ended by itself.
            CONTINUE WHEN NOT pgmq._lock_lane(
                queue_name$policy, reader, v_number, v_state.version
            );
            PERFORM pgmq._give_back(
                queue_name$policy, reader, v_number, v_now, 'the lease ended without a commit'
            );
            SELECT l.* INTO v_state
            FROM pgmq.lane_$queue AS l
            WHERE l.group_name = reader AND l.lane = v_number
            ORDER BY l.group_name DESC, l.lane DESC, l.version DESC
            LIMIT 1;
            CONTINUE WHEN v_state.vt > v_now;
        END IF;
        v_bound := v_settled;
        v_failures := pg_catalog.cardinality(v_state.failed);
        IF v_failures > 0 THEN
            v_limit := pgmq._piece(queue_name$policy, reader, v_failures, quantity);
            v_bound := least(v_settled, v_state.failed[v_failures] + 1);
        END IF;

        -- Look into the next segment alone first: then the others are not even opened.
        v_end := least(v_bound, ((v_state.done + 1) / span$segments + 1) * span$segments);
        v_place := v_state.done;
        v_looked := 0;
        v_size := 0;
        v_epoch := null;
        -- Mostly ids follow each other without a gap, so that no search is needed.
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
                            FROM pgmq.q_$queue AS m
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
                            FROM pgmq.q_$queue AS m
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
                    -- What has failed is there no more.
                    v_limit := quantity;
                    v_bound := v_settled;
                    v_end := v_settled;
                    v_failures := 0;
                    v_state.failed := '{}';
                    v_state.error := null;
                ELSIF v_place >= v_end - 1 AND v_settled < v_next AND NOT v_is_fresh THEN
                    -- What was known to be settled has nothing for this lane: look who writes now.
                    v_settled := pgmq._settled('pgmq.q_$queue', v_settled - 1);
                    v_is_fresh := true;
                    v_bound := v_settled;
                    v_end := v_settled;
                END IF;
                EXIT WHEN v_place >= v_end - 1 OR v_looked > 100000;
            END LOOP;
            EXIT WHEN v_last IS NULL;
            v_epoch := coalesce(v_epoch, nextval('pgmq.epoch_$queue'::regclass));
            -- The lane is locked when the first message is found.
            RETURN QUERY
                SELECT
                    v_number, v_epoch, m.msg_id, v_failures + 1, m.enqueued_at, m.message, m.headers
                FROM pgmq.q_$queue AS m
                WHERE m.msg_id > v_place AND m.msg_id <= v_last
                    AND (v_lanes = 1 OR pgmq._lane_of(m.key_hash, m.msg_id, v_lanes) = v_number)
                    AND (m.msg_id > v_place) = (
                        SELECT true FROM pgmq.lane_$queue AS l
                        WHERE l.group_name = reader AND l.lane = v_number
                            AND l.version = v_state.version
                        FOR UPDATE SKIP LOCKED
                    )
                ORDER BY m.msg_id;
            GET DIAGNOSTICS v_count = ROW_COUNT;
            v_size := v_size + v_count;
            EXIT WHEN v_size > 0 AND (v_is_searched OR v_size = v_limit OR v_last = v_end - 1);
            -- Somebody else has it.
            CONTINUE lanes WHEN v_size = 0 AND v_is_searched;
            v_place := CASE WHEN v_size > 0 THEN v_last ELSE v_place END;
            v_last := null;
            v_is_searched := true;
        END LOOP;
        IF v_size > 0 THEN
            v_last := coalesce(v_last, v_place);
            IF v_lanes = 1 AND v_size < v_last - v_state.done THEN
                -- There are gaps. The lease ends with a message: its id, if it fails alone.
                v_last := (
                    SELECT m.msg_id FROM pgmq.q_$queue AS m
                    WHERE m.msg_id > v_state.done AND m.msg_id <= v_last
                    ORDER BY m.msg_id DESC
                    LIMIT 1
                );
            END IF;
            INSERT INTO pgmq.lane_$queue
            VALUES (
                reader, v_number, v_epoch, v_lanes, v_state.done, v_last, v_epoch,
                clock_timestamp() + pg_catalog.make_interval(secs => greatest(seconds, 0)),
                v_size, pg_backend_pid(), clock_timestamp(), v_state.failed, v_state.error
            );
        ELSIF v_lanes > 1 AND v_place > v_state.done + 1000 THEN
            CONTINUE WHEN NOT pgmq._lock_lane(
                queue_name$policy, reader, v_number, v_state.version
            );
            v_epoch := nextval('pgmq.epoch_$queue'::regclass);
            INSERT INTO pgmq.lane_$queue
            VALUES (
                reader, v_number, v_epoch, v_lanes, v_place, v_place, v_epoch, '-infinity', 0, null,
                clock_timestamp(), '{}', null
            );
        ELSE
            v_is_behind := v_is_behind OR v_place > v_state.done;
            CONTINUE;
        END IF;
        DELETE FROM pgmq.lane_$queue AS l
        WHERE l.group_name = reader AND l.lane = v_number AND l.version = v_state.version;
        EXIT WHEN v_size > 0;
    END LOOP;
    IF pgmq._chance(CASE WHEN v_is_behind THEN 16 ELSE 1 END, 64) THEN
        PERFORM pgmq._tend_$queue();
    END IF;
END
$$;
