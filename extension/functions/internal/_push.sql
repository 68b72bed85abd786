-- Push delivery. A queue that pushes has triggers; a slot is a row; a delivery is an ordinary
-- lease.
--
-- Messages are pushed when a transaction commits (the triggers are deferred), so that a long one
-- holds neither slots nor other messages. Slots are taken with SKIP LOCKED: nobody waits for one.
-- Counting slots and leases needs the newest rows, so under REPEATABLE READ nothing is pushed: the
-- messages stay visible, and the next commit pushes them.
--
-- These run with the rights of the extension's owner, since producers and consumers have none on
-- channels, nor producers the right to lease.
CREATE OR REPLACE FUNCTION pgmq._push(queue_name text)
RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_now timestamptz;
    v_slot record;
    v_message pgmq.message_record;
    v_live_until timestamptz;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed'
        OR NOT pgmq._is_safe_to_push(queue_name)
    THEN
        RETURN null;
    END IF;
    LOOP
        v_now := clock_timestamp();
        -- The slots first, since they are looked at more cheaply; but none is locked for nothing.
        EXIT WHEN NOT EXISTS (
            SELECT FROM pgmq.channel_slot AS s
            WHERE s.queue_name = _push.queue_name AND s.free_at <= v_now
        );
        IF (pgmq.next_visible_at(queue_name) <= v_now) IS NOT TRUE THEN
            RETURN 'nothing';
        END IF;
        SELECT s.channel, s.number, s.msg_id, s.read_ct, c.vt INTO v_slot
        FROM pgmq.channel_slot AS s
        INNER JOIN pgmq.channel AS c ON s.channel = c.channel
        WHERE s.queue_name = _push.queue_name AND s.free_at <= v_now
        ORDER BY s.free_at
        LIMIT 1
        FOR UPDATE OF s SKIP LOCKED;
        EXIT WHEN NOT FOUND;
        IF NOT pgmq._is_open(v_slot.channel) THEN
            IF NOT pgmq._close(v_slot.channel) THEN     -- somebody else is at it
                UPDATE pgmq.channel_slot AS s SET free_at = v_now + interval '1 second'
                WHERE s.channel = v_slot.channel AND s.number = v_slot.number;
            END IF;
            CONTINUE;
        END IF;

        -- A lease that was extended fills the slot still. Its acknowledgement may find the slot
        -- locked by this and leave it: so it is looked at again in a vt.
        IF v_slot.msg_id IS NOT NULL THEN
            SELECT least(m.vt, v_now + make_interval(secs => v_slot.vt)) INTO v_live_until
            FROM pgmq.get(_push.queue_name, v_slot.msg_id) AS m
            WHERE m.read_ct = v_slot.read_ct AND m.vt > v_now;
            IF FOUND THEN
                UPDATE pgmq.channel_slot AS s SET free_at = v_live_until
                WHERE s.channel = v_slot.channel AND s.number = v_slot.number;
                CONTINUE;
            END IF;
        END IF;

        SELECT m.* INTO v_message FROM pgmq._lease_to_push(_push.queue_name, v_slot.vt) AS m;
        EXIT WHEN NOT FOUND;        -- all that is visible is locked, or its group is closed
        UPDATE pgmq.channel_slot AS s
        SET msg_id = v_message.msg_id, read_ct = v_message.read_ct, free_at = v_message.vt
        WHERE s.channel = v_slot.channel AND s.number = v_slot.number;
        PERFORM pg_notify(v_slot.channel, pgmq._payload(
            jsonb_build_object(
                'queue_name', queue_name,
                'msg_id', v_message.msg_id,
                'read_ct', v_message.read_ct,
                'enqueued_at', v_message.enqueued_at,
                'vt', v_message.vt
            ),
            v_message.message, v_message.headers
        ));
    END LOOP;
    RETURN 'messages';
END
$$;
COMMENT ON FUNCTION pgmq._push(text) IS
'Push visible messages of a queue to free slots of its channels, and say what may be left: messages, or nothing; null under another isolation level than READ COMMITTED.';

CREATE OR REPLACE FUNCTION pgmq._is_safe_to_push(queue_name text)
RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A table's owner gives it triggers, and these run as whoever writes to it.
    RETURN coalesce((
        SELECT pg_has_role(c.relowner, current_user, 'USAGE')
        FROM pg_class AS c
        WHERE c.oid = to_regclass(format('pgmq.%I', pgmq.format_table_name(queue_name, 'q')))
    ), false);
END
$$;
COMMENT ON FUNCTION pgmq._is_safe_to_push(text) IS
'Whether the owner of a queue has all the rights of the current user, the extension''s owner where messages are pushed.';

CREATE OR REPLACE FUNCTION pgmq._lease_to_push(queue_name text, vt integer)
RETURNS SETOF pgmq.message_record
LANGUAGE plpgsql VOLATILE ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regclass(format('pgmq.%I', 'fifo_idx_' || pgmq._suffix(queue_name))) IS NOT NULL THEN
        RETURN QUERY SELECT * FROM pgmq.read_grouped_head(queue_name, vt, 1);
    ELSE
        RETURN QUERY SELECT * FROM pgmq.read(queue_name, vt, 1);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._lease_to_push(text, integer) IS
'The next message to push: of a queue that create_fifo_index was called for, the first one of a free group.';

CREATE OR REPLACE FUNCTION pgmq._is_open(channel text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_channel pgmq.channel;
BEGIN
    SELECT c.* INTO v_channel FROM pgmq.channel AS c WHERE c.channel = _is_open.channel;
    -- The session that opened it holds a lock as long as it lives. It would itself be granted that
    -- a second time, so there it counts whether it listens (a transaction's LISTEN is not seen in
    -- it): it does not after DISCARD ALL, nor does one that has a dead session's pid. Several others
    -- may look at a time.
    RETURN CASE
        WHEN v_channel.pid = pg_backend_pid()
            THEN v_channel.opened_at = now()
                OR v_channel.channel IN (SELECT pg_listening_channels())
        ELSE NOT pg_try_advisory_xact_lock_shared(pgmq._channel_locks(), v_channel.number)
    END;
END
$$;
COMMENT ON FUNCTION pgmq._is_open(text) IS 'Whether the session that opened a channel is there still; null for an unknown channel.';

CREATE OR REPLACE FUNCTION pgmq._close_dead(queue_name text DEFAULT null)
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
        WHERE (c.queue_name = _close_dead.queue_name OR _close_dead.queue_name IS NULL)
            -- As in _is_open; a call for each would be dear where there are many.
            AND (
                c.pid = pg_backend_pid()
                OR pg_try_advisory_xact_lock_shared(pgmq._channel_locks(), c.number)
            )
        ORDER BY c.channel
    LOOP
        IF NOT pgmq._is_open(v_name) AND pgmq._close(v_name) THEN
            v_count := v_count + 1;
        END IF;
    END LOOP;
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION pgmq._close_dead(text) IS
'Close the channels of a queue, or of all, whose sessions are gone, and return how many those were.';

CREATE OR REPLACE FUNCTION pgmq._channel_locks()
RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT hashtext('pgmq.channel')
$$;
COMMENT ON FUNCTION pgmq._channel_locks() IS 'The first of the two keys of channels'' advisory locks.';

CREATE OR REPLACE FUNCTION pgmq._close(channel text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_channel pgmq.channel;
    v_msg_ids bigint[];
    v_read_cts integer[];
BEGIN
    -- Whoever holds a slot is about to fill it: then it is not the time.
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
        RETURN true;        -- they come back when they end
    END IF;

    -- The leases that are left come back, but for those that somebody is acknowledging.
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
COMMENT ON FUNCTION pgmq._close(text) IS
'Remove a channel and return what was pushed to it and is still leased; false when somebody else is at it.';

CREATE OR REPLACE FUNCTION pgmq._meet(queue_name text, shared boolean)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
AS $$
DECLARE
    v_class CONSTANT integer := hashtext('pgmq.push');
    v_object CONSTANT integer := hashtext(queue_name);
BEGIN
    IF shared THEN
        PERFORM pg_advisory_xact_lock_shared(v_class, v_object);
    ELSE
        PERFORM pg_advisory_xact_lock(v_class, v_object);
    END IF;
EXCEPTION
    WHEN lock_not_available OR deadlock_detected THEN
        NULL;
END
$$;
COMMENT ON FUNCTION pgmq._meet(text, boolean) IS
'Wait up to a tenth of a second for those who are about to commit a message that they found no slot for, or a slot that they found no message for, and have the others wait for this transaction.';

-- What the queue's triggers call. (Only in this schema: else whoever may create a trigger could
-- free slots of queues that are not theirs.)
CREATE OR REPLACE FUNCTION pgmq._push_at_commit()
RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_setting text;
    v_statement text;
    v_known text[];
    v_freed boolean := false;
    v_left text;
    v_meets boolean;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed'
        OR TG_TABLE_SCHEMA <> 'pgmq'
        -- Without channels the queue is not even looked at.
        OR NOT EXISTS (SELECT FROM pgmq.channel_slot AS s WHERE s.queue_name = TG_ARGV[0])
    THEN
        RETURN null;
    END IF;
    -- Whether this commit (or SET CONSTRAINTS) has pushed, and a slot more makes no difference.
    v_setting := format('pgmq.push_%s', TG_RELID);
    v_statement := statement_timestamp();
    v_known := string_to_array(current_setting(v_setting, true), '|');
    IF TG_OP = 'DELETE' THEN
        v_freed := pgmq._free_slot(TG_ARGV[0], old.msg_id, old.read_ct);
    END IF;
    IF v_known[1] = v_statement AND (v_known[2] = 'done' OR NOT v_freed) THEN
        RETURN null;
    END IF;
    v_left := pgmq._push(TG_ARGV[0]);
    -- A message that is left here, and a slot that another transaction leaves because it cannot see
    -- the message, would stay apart if both were to commit now: one of them has to look after the
    -- other one's commit. Those that leave messages do not wait for each other.
    v_meets := CASE v_left
        WHEN 'messages' THEN TG_OP <> 'DELETE'
        WHEN 'nothing' THEN TG_OP = 'UPDATE' OR v_freed
    END;
    IF v_meets THEN
        IF v_left = 'messages' THEN
            PERFORM pgmq._close_dead(TG_ARGV[0]);
        END IF;
        PERFORM pgmq._meet(TG_ARGV[0], v_left = 'messages');
        v_left := pgmq._push(TG_ARGV[0]);
    END IF;
    PERFORM set_config(
        v_setting,
        format(
            '%s|%s', v_statement, CASE WHEN v_meets AND v_left = 'nothing' THEN 'done' END
        ),
        true
    );
    RETURN null;
END
$$;
COMMENT ON FUNCTION pgmq._push_at_commit() IS
'Trigger of a queue that pushes, deferred: a message has arrived, was returned or is gone.';

CREATE OR REPLACE FUNCTION pgmq._free_slot_at_once()
RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- nack ends the lease, whatever the delay; set_vt and extend do so where the message is visible.
    IF (current_setting('pgmq.nack', true) = 'on' OR new.vt <= clock_timestamp())
        AND current_setting('transaction_isolation') = 'read committed'
        AND TG_TABLE_SCHEMA = 'pgmq'
    THEN
        PERFORM pgmq._free_slot(TG_ARGV[0], old.msg_id, old.read_ct);
    END IF;
    RETURN null;
END
$$;
COMMENT ON FUNCTION pgmq._free_slot_at_once() IS
'Trigger of a queue that pushes: the vt of a message has changed, but it was not read.';

CREATE OR REPLACE FUNCTION pgmq._free_slot(queue_name text, msg_id bigint, read_ct integer)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A slot that somebody else holds is being looked at: it is found free when its lease would
    -- have ended.
    UPDATE pgmq.channel_slot AS f
    SET msg_id = null, read_ct = null, free_at = clock_timestamp()
    WHERE f.ctid = ANY (ARRAY(
        SELECT s.ctid
        FROM pgmq.channel_slot AS s
        WHERE s.queue_name = _free_slot.queue_name
            AND s.msg_id = _free_slot.msg_id
            AND s.read_ct = _free_slot.read_ct
        FOR UPDATE SKIP LOCKED
    ));
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION pgmq._free_slot(text, bigint, integer) IS 'Free the slot that a lease fills, if it was pushed.';
