--# for stream
-- Commit a batch, or what is in it up to a msg_id, and return whether the lease was still the
-- caller's. If somebody changes the lane right now, that may be a heartbeat of the same consumer.
-- So wait for a moment.
CREATE OR REPLACE FUNCTION pgmq._commit_$queue(
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
    -- Locked first: see drop_queue.
    PERFORM FROM pgmq.q_$queue WHERE NOT pgmq._may_use_lanes('INSERT', queue_name$policy);
    -- Mostly the lane is as fetch left it: if that row is there and can be locked, no newer one is.
    SELECT l.* INTO v_state
    FROM pgmq.lane_$queue AS l
    WHERE l.group_name = reader AND l.lane = number AND l.version = lease AND l.epoch = lease
        AND l.leased > l.done
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        FOR attempt IN 1..100 LOOP
            SELECT l.* INTO v_state
            FROM pgmq.lane_$queue AS l
            WHERE l.group_name = reader AND l.lane = number
            ORDER BY l.group_name DESC, l.lane DESC, l.version DESC
            LIMIT 1;
            IF NOT FOUND THEN
                PERFORM pgmq._raise_no_lane(queue_name$policy, reader, number);
            END IF;
            IF v_state.epoch IS DISTINCT FROM lease OR v_state.leased = v_state.done THEN
                RETURN false;
            END IF;
            PERFORM FROM pgmq.lane_$queue AS l
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
        DELETE FROM pgmq.lane_$queue AS l
        WHERE l.group_name = reader AND l.lane = number AND l.version = v_state.version
    )
    INSERT INTO pgmq.lane_$queue
    SELECT
        reader, number, nextval('pgmq.epoch_$queue'::regclass), v_state.lanes, v_state.done,
        v_state.leased, v_state.epoch, v_state.vt, v_state.size, v_state.pid, clock_timestamp(),
        v_state.failed, v_state.error;
    RETURN true;
END
$$;
