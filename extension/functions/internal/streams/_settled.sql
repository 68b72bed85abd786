-- What readers of a stream may rely on. A sender locks the table first, and then draws an id. So,
-- in this order: read the next id, then list the transactions that hold that lock. When all of
-- those have ended, every message below that id is committed, or never will be. (The messages are
-- then to be read with a newer snapshot: in a statement of its own.)
--
-- A look is shared by all sessions, as that of _look_at() is, and in the same table. It is never
-- taken from the caller's settings: who could forge one could hide messages. A transaction is known
-- by its virtual id, which PREPARE TRANSACTION keeps but a restart does not. So a restart voids it.
CREATE OR REPLACE FUNCTION pgmq._settled(
    stream regclass,
    after_id bigint,
    wanted integer DEFAULT null
)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
DECLARE
    v_many CONSTANT integer := 1000;        -- locks; to list more takes a millisecond or so
    -- In microseconds.
    v_pause CONSTANT bigint := 20000;       -- between two looks at a stream that nobody writes to
    v_short CONSTANT bigint := 50000;       -- a transaction open for longer is not waited for
    v_ids CONSTANT regclass := pg_get_serial_sequence(stream::text, 'msg_id');
    v_file CONSTANT oid := pg_relation_filenode(v_ids);
    v_next_id CONSTANT bigint := 1 + coalesce(pg_sequence_last_value(v_ids), 0);
    v_now CONSTANT bigint := pgmq._microseconds(clock_timestamp());
    v_settled bigint := 0;
    v_last pgmq.look;
    v_is_valid boolean;
    v_writers integer[];
    v_is_open boolean := false;     -- whether a writer of the last look has not ended
    v_locks integer;
    v_new pgmq.look;
BEGIN
    IF stream::text !~ '^"?pgmq"?[.]"?q_' THEN
        RETURN null;
    END IF;
    SELECT * INTO v_last
    FROM pgmq.look AS l
    WHERE l.queue = stream
    ORDER BY l.queue DESC, l.epoch DESC
    LIMIT 1;
    v_is_valid := coalesce(
        v_last.ids_file = v_file AND v_last.next_id <= v_next_id AND v_last.looked_at <= v_now
        AND v_last.server_start = pg_postmaster_start_time(),
        false
    );
    IF v_is_valid THEN
        v_settled := v_last.live_limit;
        IF v_settled > after_id + wanted OR v_settled > after_id + 1 AND v_now < v_last.next_at
        THEN
            RETURN v_settled;
        END IF;
    END IF;

    SELECT w.writers, w.locks INTO v_writers, v_locks FROM pgmq._writing(stream) AS w;
    IF v_writers = '{}' THEN
        -- This is recorded now and then: so what has been sent before is not held back by a
        -- transaction that writes later, and stays open.
        IF v_is_valid AND (v_last.live_limit = v_next_id OR v_now < v_last.looked_at + v_pause) THEN
            RETURN v_next_id;
        END IF;
        v_settled := v_next_id;
    ELSIF v_is_valid THEN
        v_is_open := v_last.writers && v_writers;
        IF NOT v_is_open THEN
            v_settled := greatest(v_settled, v_last.next_id);
        END IF;
    END IF;
    -- As long as somebody of then is still at it, a newer look would only take longer to end. An old
    -- snapshot shows looks that are gone: to clear one would be a serialization failure.
    IF NOT v_is_open AND NOT pgmq._keeps_snapshot() AND pgmq._is_stream(stream) THEN
        v_new.queue := stream;
        v_new.epoch := nextval('pgmq.look_epoch');
        v_new.ids_file := v_file;
        v_new.next_id := v_next_id;
        v_new.looked_at := v_now;
        v_new.writers := v_writers;
        v_new.live_limit := v_settled;
        -- Where there are many locks, looks take at most a twentieth of the time, and what was sent
        -- since is found a little later.
        v_new.next_at := v_now + CASE
            WHEN v_locks > v_many THEN 20 * (pgmq._microseconds(clock_timestamp()) - v_now)
            ELSE 0
        END;
        v_new.server_start := pg_postmaster_start_time();
        INSERT INTO pgmq.look SELECT v_new.*;
        PERFORM pgmq._clear_looks(stream, v_new.epoch, v_last.epoch);
    END IF;

    -- The caller would find nothing, only because somebody has not quite committed.
    IF v_settled <= after_id + 1 AND v_next_id > after_id + 1
        AND NOT (v_is_open AND v_now > v_last.looked_at + v_short)
    THEN
        FOR attempt IN 1..10 LOOP
            PERFORM pg_sleep(0.001);
            IF NOT v_writers && (SELECT w.writers FROM pgmq._writing(stream) AS w) THEN
                RETURN v_next_id;
            END IF;
        END LOOP;
    END IF;
    RETURN v_settled;
END
$$;
COMMENT ON FUNCTION pgmq._settled(regclass, bigint, integer) IS
'The msg_id below which every message of a stream is committed, or never will be.

If the newest look has found so many ids after after_id to be settled as are wanted, that is enough.
It waits some 10 ms, if need be, for transactions that have just written what comes after after_id.';
