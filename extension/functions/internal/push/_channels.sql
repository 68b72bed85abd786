CREATE OR REPLACE FUNCTION pgmq._channel_locks()
RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT hashtext('pgmq.channel')
$$;
COMMENT ON FUNCTION pgmq._channel_locks() IS 'The first of the two keys of channels'' advisory locks.';

-- A rollback takes back that a channel was opened or closed, but not what was done to a lock of the
-- session. So nothing unlocks at once, and what was left locked is released later. A transaction
-- that closes a channel has the lock shared as well: while it may roll back, the lock stays.
CREATE OR REPLACE FUNCTION pgmq._release_closed()
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_unlock(pgmq._channel_locks(), l.number)
    FROM (
        SELECT l.objid::bigint::integer AS number
        FROM pg_locks AS l
        WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.pid = pg_backend_pid()
            AND l.classid = (pgmq._channel_locks()::bigint & 4294967295)::oid
            AND l.database = (
                SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()
            )
        GROUP BY l.objid
        HAVING bool_and(l.mode = 'ExclusiveLock')
    ) AS l
    WHERE NOT EXISTS (SELECT FROM pgmq.channel AS c WHERE c.number = l.number);
END
$$;
COMMENT ON FUNCTION pgmq._release_closed() IS
'Release the locks of this session''s channels that are closed, or whose opening was rolled back.';

CREATE OR REPLACE FUNCTION pgmq._is_open(channel text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_channel pgmq.channel;
BEGIN
    SELECT c.* INTO v_channel FROM pgmq.channel AS c WHERE c.channel = _is_open.channel;
    -- The opening session holds an advisory lock while it lives: if we get the lock, that session
    -- is gone. (The lock is shared, so that several sessions may test at once.) Our own session
    -- would get its own lock again. For it we ask whether it still listens: it does not after
    -- DISCARD ALL, nor if it only has the pid of a dead session. (A transaction does not see its
    -- own LISTEN.)
    RETURN CASE
        WHEN v_channel.pid = pg_backend_pid()
            THEN v_channel.opened_at = now()
                OR v_channel.channel IN (SELECT pg_listening_channels())
        ELSE NOT pg_try_advisory_xact_lock_shared(pgmq._channel_locks(), v_channel.number)
    END;
END
$$;
COMMENT ON FUNCTION pgmq._is_open(text) IS
'Whether the session that opened a channel is still there; null for an unknown channel.';

CREATE OR REPLACE FUNCTION pgmq._close(channel text, wait boolean)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_channel pgmq.channel;
    v_msg_ids bigint[];
    v_read_cts integer[];
BEGIN
    -- Another session that holds a slot is about to fill it, or has freed it. Then do nothing, or
    -- wait for its lock, until lock_timeout or a deadlock ends that.
    IF wait THEN
        PERFORM FROM pgmq.channel AS c WHERE c.channel = _close.channel FOR UPDATE;
        PERFORM FROM pgmq.channel_slot AS s
        WHERE s.channel = _close.channel
        ORDER BY s.number
        FOR UPDATE;
    END IF;
    SELECT c.* INTO v_channel
    FROM pgmq.channel AS c
    WHERE c.channel = _close.channel
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    SELECT array_agg(s.msg_id), array_agg(s.read_ct)
    INTO v_msg_ids, v_read_cts
    FROM (
        SELECT s.msg_id, s.read_ct
        FROM pgmq.channel_slot AS s
        WHERE s.channel = v_channel.channel
        FOR UPDATE SKIP LOCKED
    ) AS s;
    IF coalesce(cardinality(v_msg_ids), 0) < v_channel.maximum_messages THEN
        RETURN false;
    END IF;
    DELETE FROM pgmq.channel AS c WHERE c.channel = v_channel.channel;
    IF NOT pgmq._is_safe_to_push(v_channel.queue_name) THEN
        RETURN true;        -- the leases end by themselves
    END IF;

    -- The messages of the remaining leases are returned, except those being acknowledged.
    EXECUTE format(
        $sql$
        SELECT array_agg(m.msg_id ORDER BY m.msg_id), array_agg(m.read_ct ORDER BY m.msg_id)
        FROM (
            SELECT q.msg_id, q.read_ct
            FROM pgmq.%I AS q
            INNER JOIN unnest($1, $2) AS l (msg_id, read_ct)
                ON q.msg_id = l.msg_id AND q.read_ct = l.read_ct
            WHERE q.vt > clock_timestamp()
            FOR UPDATE OF q SKIP LOCKED
        ) AS m
        $sql$,
        pgmq.format_table_name(v_channel.queue_name, 'q')
    ) INTO v_msg_ids, v_read_cts USING v_msg_ids, v_read_cts;
    IF v_msg_ids IS NOT NULL THEN
        PERFORM pgmq.nack(v_channel.queue_name, v_msg_ids, v_read_cts, 0);
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION pgmq._close(text, boolean) IS
'Remove a channel, and give its pushed messages that are still leased back to the queue.

False if the channel is not there, or if another session works on it and wait is false.';

CREATE OR REPLACE FUNCTION pgmq._close_lost(queue_name text)
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_name text;
    v_count integer := 0;
BEGIN
    FOR v_name IN
        SELECT c.channel FROM pgmq.channel AS c
        WHERE c.queue_name = _close_lost.queue_name
            -- As in _is_open; calling that for each of many channels would be expensive.
            AND (
                c.pid = pg_backend_pid()
                OR pg_try_advisory_xact_lock_shared(pgmq._channel_locks(), c.number)
            )
        ORDER BY c.channel
    LOOP
        IF NOT pgmq._is_open(v_name) AND pgmq._close(v_name, false) THEN
            v_count := v_count + 1;
        END IF;
    END LOOP;
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION pgmq._close_lost(text) IS
'Close the channels of a queue whose sessions are gone, and return how many those were.';
