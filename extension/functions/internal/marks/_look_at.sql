-- A look at a queue records the next id, the time, and the transactions that were writing then. All
-- sessions share the newest one. It is found in one step from the end of the index, no matter how
-- many dead entries lie before it. Its epoch comes from a sequence, so that nobody waits for a row
-- of a transaction that stays open. Anybody who may use the schema may call this: it takes nothing
-- from the caller but the queue. Other sessions do not see a look of a transaction that stays open
-- or rolls back; they take their own.
--
-- Reading the list of locks takes longer with more sessions. So while the newest look is recent,
-- other calls use what it has found, and looks take at most a twentieth of the time.
CREATE OR REPLACE FUNCTION pgmq._look_at(
    queue regclass,
    OUT busy boolean,
    OUT ready_limit bigint,
    OUT live_limit bigint,
    OUT parked_limit bigint
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    -- A row stays below the size at which Postgres moves a column out of it.
    v_most CONSTANT integer := 400;
    v_pause CONSTANT bigint := 20000;       -- between two looks, in microseconds
    v_ids regclass;
    v_file oid;
    v_next_id bigint;
    v_now bigint;
    v_writers integer[];
    v_last pgmq.look;
    v_new pgmq.look;
    v_is_valid boolean;
    v_took bigint;
    v_epoch bigint;
    v_start CONSTANT timestamptz := pg_postmaster_start_time();
BEGIN
    IF queue::text !~ '^"?pgmq"?[.]"?q_' OR pgmq._is_stream(queue) THEN
        RETURN;
    END IF;
    -- The order matters: first the file, then the next id, then the clock, then the writers.
    v_ids := pg_get_serial_sequence(queue::text, 'msg_id');
    IF has_sequence_privilege(v_ids, 'SELECT') THEN
        v_file := pg_relation_filenode(v_ids);
        v_next_id := 1 + coalesce(pg_sequence_last_value(v_ids), 0);
    END IF;
    v_now := pgmq._microseconds(clock_timestamp());
    SELECT * INTO v_last
    FROM pgmq.look AS l
    WHERE l.queue = _look_at.queue
    ORDER BY l.queue DESC, l.epoch DESC
    LIMIT 1;
    -- A look is void if ids have begun again since, the clock was set back, or the server has been
    -- restarted: then a prepared transaction has another virtual id.
    v_is_valid := v_last.ids_file = v_file AND v_last.next_id <= v_next_id
        AND v_last.looked_at <= v_now AND v_last.server_start = v_start;
    IF v_is_valid THEN
        ready_limit := v_last.ready_limit;
        live_limit := v_last.live_limit;
        parked_limit := v_last.parked_limit;
        IF v_now < v_last.next_at THEN
            RETURN;
        END IF;
    END IF;

    v_writers := (SELECT w.writers FROM pgmq._writing(queue) AS w);
    v_took := pgmq._microseconds(clock_timestamp()) - v_now;
    busy := v_writers <> '{}';
    IF v_next_id IS NULL OR NOT busy AND v_took < v_pause / 20 THEN
        RETURN;
    END IF;
    v_epoch := nextval('pgmq.look_epoch');
    v_new := ROW(
        queue, v_epoch, v_file, v_next_id, v_now,
        CASE WHEN cardinality(v_writers) <= v_most THEN v_writers END,
        ready_limit, live_limit, parked_limit, null, v_start
    );
    IF NOT busy THEN
        v_new.ready_limit := v_next_id;
        v_new.live_limit := v_next_id;
        v_new.parked_limit := v_now;
    ELSIF v_is_valid THEN
        IF NOT v_last.writers && v_writers THEN
            v_new.ready_limit := v_last.next_id;
            v_new.live_limit := v_last.next_id;
            v_new.parked_limit := v_last.looked_at;
        ELSIF v_now > v_last.looked_at + 100000
            AND v_now > v_last.looked_at + pgmq._sweep_interval()
        THEN
            v_new.ready_limit := v_last.next_id;
            v_new.parked_limit := v_last.looked_at;
        ELSE
            v_new := v_last;    -- somebody of then is still at it
            v_new.epoch := v_epoch;
        END IF;
    END IF;
    v_new.next_at := v_now + greatest(v_pause, 20 * v_took);
    INSERT INTO pgmq.look SELECT v_new.*;
    PERFORM pgmq._clear_looks(queue, v_epoch, v_last.epoch);
    ready_limit := v_new.ready_limit;
    live_limit := v_new.live_limit;
    parked_limit := v_new.parked_limit;
END
$$;
COMMENT ON FUNCTION pgmq._look_at(regclass) IS
'Look who else writes to a queue, and return the msg_id and the time below which all is settled.

Times are microseconds since 1970. busy is whether another transaction writes; it is null if the
newest look is so recent that this was not found out. If nobody else writes, all below the next id
and the clock that the caller has read before is settled. Otherwise ready_limit and parked_limit
come from looks whose writers have ended, or that are older than the interval of sweeps. live_limit
comes only from looks whose writers have ended.';

CREATE OR REPLACE FUNCTION pgmq._clear_looks(queue oid, new_epoch bigint, last_epoch bigint)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    IF last_epoch IS NOT NULL THEN
        -- Delete the look before, and now and then also those that sessions which looked at the
        -- same time have left.
        DELETE FROM pgmq.look AS l
        WHERE l.queue = _clear_looks.queue AND l.epoch = ANY (ARRAY(
            SELECT o.epoch FROM pgmq.look AS o
            WHERE o.queue = _clear_looks.queue AND o.epoch BETWEEN
                CASE WHEN new_epoch % 512 = 0 THEN 0 ELSE last_epoch - 100 END AND last_epoch
            ORDER BY o.epoch DESC
            LIMIT 100
            FOR UPDATE SKIP LOCKED
        ));
    ELSIF random() < 0.1 THEN
        -- Delete the looks at queues that were dropped.
        DELETE FROM pgmq.look AS l
        WHERE l.ctid = ANY (ARRAY(
            SELECT o.ctid FROM pgmq.look AS o
            WHERE NOT EXISTS (SELECT FROM pg_class AS c WHERE c.oid = o.queue)
            LIMIT 100
            FOR UPDATE SKIP LOCKED
        ));
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._clear_looks(oid, bigint, bigint) IS
'Delete the look at a queue that was the last before a new one, and now and then what others left.';
