-- Push delivery. A queue that pushes has triggers; a slot is a row; a delivery is an ordinary
-- lease.
--
-- Messages are pushed when a transaction commits (the triggers are deferred), so that a long one
-- holds neither slots nor other messages. Slots are taken with SKIP LOCKED: nobody waits for one.
-- Counting slots and leases needs the newest rows, so under REPEATABLE READ nothing is pushed: the
-- messages stay visible, and the next commit pushes them.
--
-- The triggers run with the rights of the extension's owner, since producers and consumers have
-- none on channels, nor producers the right to lease. Nothing depends on what a caller can set.
CREATE OR REPLACE FUNCTION pgmq._push(
    queue_name text,
    group_name text,
    thorough boolean
)
RETURNS text
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_now timestamptz;
    v_slot record;
    v_message pgmq.message_record;
    v_silent_since timestamptz;
    v_grouped boolean;
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
        SELECT s.channel, s.number, s.msg_id, s.read_ct, s.free_at, c.vt, c.silent_since
        INTO v_slot
        FROM pgmq.channel_slot AS s
        INNER JOIN pgmq.channel AS c ON s.channel = c.channel
        WHERE s.queue_name = _push.queue_name AND s.free_at <= v_now
        ORDER BY s.free_at
        LIMIT 1
        FOR UPDATE OF s SKIP LOCKED;
        EXIT WHEN NOT FOUND;
        IF NOT pgmq._is_open(v_slot.channel) THEN
            IF NOT pgmq._close(v_slot.channel, false) THEN      -- somebody else is at it
                UPDATE pgmq.channel_slot AS s SET free_at = v_now + interval '1 second'
                WHERE s.channel = v_slot.channel AND s.number = v_slot.number;
            END IF;
            CONTINUE;
        END IF;

        v_silent_since := v_slot.silent_since;
        IF v_slot.msg_id IS NOT NULL THEN
            SELECT m.* INTO v_message FROM pgmq.get(_push.queue_name, v_slot.msg_id) AS m;
            -- A lease that was extended fills the slot still. Its acknowledgement may find the slot
            -- locked by this and leave it: so it is looked at again in a vt.
            IF v_message.read_ct = v_slot.read_ct AND v_message.vt > v_now THEN
                UPDATE pgmq.channel_slot AS s
                SET free_at = least(v_message.vt, v_now + make_interval(secs => v_slot.vt))
                WHERE s.channel = v_slot.channel AND s.number = v_slot.number;
                CONTINUE;
            END IF;
            -- Nobody has answered when it is as it was, or was read again after its lease's end.
            IF v_message.last_read_at IS NOT NULL
                AND (v_message.read_ct = v_slot.read_ct OR v_message.last_read_at >= v_slot.free_at)
            THEN
                v_silent_since := coalesce(
                    v_silent_since, v_slot.free_at - make_interval(secs => v_slot.vt)
                );
            END IF;
        END IF;
        IF v_silent_since IS NOT NULL THEN
            CONTINUE WHEN pgmq._pause(
                v_slot.channel,
                v_silent_since,
                v_slot.vt,
                CASE WHEN v_slot.msg_id IS NOT NULL THEN v_slot.free_at END
            );
        END IF;

        -- Behind many closed groups a search finds a free one now and then only.
        v_grouped := coalesce(v_grouped, pgmq._is_grouped(queue_name));
        v_message := null;
        IF NOT v_grouped THEN
            SELECT m.* INTO v_message FROM pgmq.read(queue_name, v_slot.vt, 1) AS m;
        END IF;
        IF v_grouped AND thorough THEN
            SELECT m.* INTO v_message FROM pgmq.read_grouped_head(queue_name, v_slot.vt, 1) AS m;
            thorough := FOUND;
        END IF;
        IF v_grouped AND NOT thorough AND group_name IS NOT NULL THEN
            SELECT m.* INTO v_message
            FROM pgmq.read_group(queue_name, group_name, v_slot.vt, 1) AS m;
        END IF;
        EXIT WHEN v_message.msg_id IS NULL;     -- what is visible is locked, or its group is closed
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
COMMENT ON FUNCTION pgmq._push(text, text, boolean) IS
'Push visible messages of a queue to free slots of its channels.

Where create_fifo_index was called, of free groups, if thorough, and of the one given (null for none). Says what may be left: messages, or nothing; null under another isolation level than READ COMMITTED.';

-- Who listens to a channel is not to be seen. But whoever does answers: acknowledges, returns, or
-- extends. A channel of which a lease has ended without any answer since is silent: its session has
-- done UNLISTEN, hangs, or is too slow for its vt. It is tried with one message at a time, the
-- first one at once, the others after ever longer pauses, until it answers (see _free_slot): so
-- messages go to other channels, and a reader finds them, before they have been received too often.
CREATE OR REPLACE FUNCTION pgmq._pause(
    channel text,
    silent_since timestamptz,
    vt integer,
    lease_end timestamptz
)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now CONSTANT timestamptz := clock_timestamp();
    v_vt CONSTANT interval := make_interval(secs => vt);
    v_until timestamptz := (
        SELECT max(s.free_at)
        FROM pgmq.channel_slot AS s
        WHERE s.channel = _pause.channel AND s.msg_id IS NOT NULL AND s.free_at > v_now
    );
BEGIN
    UPDATE pgmq.channel AS c SET silent_since = _pause.silent_since
    WHERE c.ctid = ANY (ARRAY(
        SELECT d.ctid FROM pgmq.channel AS d
        WHERE d.channel = _pause.channel AND d.silent_since IS NULL
        FOR NO KEY UPDATE SKIP LOCKED
    ));
    -- Later than half a vt after the first lease has ended: this is a try that was not answered.
    IF lease_end > silent_since + 1.5 * v_vt THEN
        v_until := greatest(
            v_until, lease_end + least(lease_end - silent_since - v_vt, 8 * v_vt)
        );
    END IF;
    IF v_until > v_now THEN
        UPDATE pgmq.channel_slot AS f
        SET msg_id = null, read_ct = null, free_at = v_until
        WHERE f.ctid = ANY (ARRAY(
            SELECT s.ctid FROM pgmq.channel_slot AS s
            WHERE s.channel = _pause.channel AND s.free_at <= v_now
            FOR UPDATE SKIP LOCKED
        ));
        RETURN true;
    END IF;
    RETURN false;
END
$$;
COMMENT ON FUNCTION pgmq._pause(text, timestamptz, integer, timestamptz) IS
'Note that a channel has been silent, and say whether to leave it alone for now.

lease_end is that of the lease that was found to have ended.';

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
'Whether the owner of a queue has all the rights of the current user.

That is the extension''s owner where messages are pushed.';

CREATE OR REPLACE FUNCTION pgmq._is_grouped(queue_name text)
RETURNS boolean
LANGUAGE sql STABLE
AS $$
    SELECT to_regclass(pg_catalog.format(
        'pgmq.%I', pg_catalog.format('fifo_idx_%s', pgmq._suffix(queue_name))
    )) IS NOT NULL
$$;
COMMENT ON FUNCTION pgmq._is_grouped(text) IS
'Whether create_fifo_index was called for a queue, so that it is pushed group by group.';

CREATE OR REPLACE FUNCTION pgmq._caller()
RETURNS name
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- SET ROLE outlasts the change to the rights of a function's owner; RESET ROLE shows the login.
    SELECT coalesce(nullif(current_setting('role'), 'none'), session_user)::name
$$;
COMMENT ON FUNCTION pgmq._caller() IS
'Who has called a function that runs with its owner''s rights: by SET ROLE, else the login.';

CREATE OR REPLACE FUNCTION pgmq._may_be_pushed(queue_name text)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT has_table_privilege(c.name, q.oid, 'SELECT')
        AND has_column_privilege(c.name, q.oid, 'vt', 'UPDATE')
    FROM (
        SELECT to_regclass(format('pgmq.%I', pgmq.format_table_name(queue_name, 'q')))::oid AS oid
    ) AS q
    CROSS JOIN pgmq._caller() AS c (name)
$$;
COMMENT ON FUNCTION pgmq._may_be_pushed(text) IS
'Whether the caller may lease messages of a queue; null for an unknown queue.';

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
            -- As in _is_open; a call for each would be dear where there are many.
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

CREATE OR REPLACE FUNCTION pgmq._channel_locks()
RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT hashtext('pgmq.channel')
$$;
COMMENT ON FUNCTION pgmq._channel_locks() IS 'The first of the two keys of channels'' advisory locks.';

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
    -- Whoever holds a slot is about to fill it, or has freed it: then it is not the time, or time to
    -- wait for a lock, which lock_timeout ends, and a deadlock if it is one.
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
COMMENT ON FUNCTION pgmq._close(text, boolean) IS
'Remove a channel and return what was pushed to it and is still leased.

False when it is not there, or somebody else is at it and not waited for.';

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
'Wait up to a tenth of a second for those who are about to commit what this one may have missed.

That is a message that they found no slot for, or a slot that they found no message for. The others wait for this transaction likewise.';

-- What the queue's triggers call. A trigger that somebody has given another table must not free
-- slots of a queue that is not theirs.
CREATE OR REPLACE FUNCTION pgmq._is_of_queue(
    relation oid,
    schema_name name,
    table_name name,
    queue_name text
)
RETURNS boolean
LANGUAGE sql STABLE
AS $$
    SELECT schema_name = 'pgmq'::name AND CASE
        WHEN table_name = lower(pg_catalog.format('q_%s', queue_name))::name THEN true
        ELSE pg_catalog.pg_partition_root(relation)::oid = to_regclass(
            pg_catalog.format('pgmq.%I', pgmq.format_table_name(queue_name, 'q'))
        )::oid
    END IS TRUE
$$;
COMMENT ON FUNCTION pgmq._is_of_queue(oid, name, name, text) IS
'Whether this is the table of the queue, or a partition of it.';

CREATE OR REPLACE FUNCTION pgmq._push_at_commit()
RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
DECLARE
    v_queue CONSTANT text := TG_ARGV[0];
    v_now timestamptz;
    v_free_at timestamptz;
    v_group text;
    v_freed boolean := false;
    v_has_room boolean := true;
    v_looked boolean;
    v_left text := 'messages';
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed'
        OR NOT pgmq._is_of_queue(TG_RELID, TG_TABLE_SCHEMA, TG_TABLE_NAME, v_queue)
    THEN
        RETURN null;
    END IF;
    -- One statement, since a commit may run it for very many messages.
    v_free_at := (
        SELECT s.free_at FROM pgmq.channel_slot AS s
        WHERE s.queue_name = v_queue
        ORDER BY s.free_at
        LIMIT 1
    );
    IF v_free_at IS NULL THEN
        RETURN null;        -- there is no channel
    END IF;
    -- A commit may bring very many of these. What one has done is no reason to do nothing for the
    -- next: between the two there may have been another message, or another's commit. But what has
    -- been pushed already needs no more, and a look in vain is not repeated for a hundredth of a
    -- second (those who gave up waiting for this transaction, see _meet, have done so for longer).
    v_now := clock_timestamp();
    v_freed := TG_OP = 'DELETE' AND pgmq._free_slot(v_queue, old.msg_id, old.read_ct);
    v_looked := current_setting('pgmq.push_look', true) <> ''
        AND pgmq._has_just_looked(v_queue, v_freed);
    IF TG_OP <> 'DELETE' AND new.vt <= v_now THEN
        v_has_room := v_free_at <= v_now;
        IF v_looked AND NOT v_has_room
            OR v_has_room AND EXISTS (
                SELECT FROM pgmq.channel_slot AS s
                WHERE s.queue_name = v_queue AND s.msg_id = new.msg_id
            )
            OR v_looked AND NOT EXISTS (
                SELECT FROM pgmq.get(v_queue, new.msg_id) AS m WHERE m.vt <= v_now
            )
        THEN
            RETURN null;
        END IF;
    ELSIF v_looked AND NOT pgmq._is_grouped(v_queue) THEN
        RETURN null;
    END IF;

    v_group := coalesce(
        CASE TG_OP WHEN 'DELETE' THEN old.headers ELSE new.headers END ->> 'x-pgmq-group',
        '_default_fifo_group'
    );
    IF v_has_room THEN
        v_left := pgmq._push(v_queue, v_group, NOT coalesce(v_looked, false));
    END IF;
    IF v_looked THEN
        RETURN null;
    END IF;
    -- A message that is left here, and a slot that another transaction leaves because it cannot see
    -- the message, would stay apart if both were to commit now: one of them has to look after the
    -- other one's commit. Those that leave messages do not wait for each other.
    IF v_left = 'messages' AND TG_OP <> 'DELETE'
        OR v_left = 'nothing' AND (TG_OP = 'UPDATE' OR v_freed)
    THEN
        IF v_left = 'messages' THEN
            PERFORM pgmq._close_lost(v_queue);
        END IF;
        PERFORM pgmq._meet(v_queue, v_left = 'messages');
        v_left := pgmq._push(v_queue, v_group, true);
    END IF;
    -- (The next message that was sent with one that found a slot has its own, or is gone.)
    IF NOT (TG_OP = 'INSERT' AND v_left = 'nothing' OR v_freed AND v_left = 'messages') THEN
        PERFORM pgmq._note_look(v_queue, v_left = 'nothing');
    END IF;
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
    -- nack ends the lease, whatever the delay, and clears last_read_at; set_vt and extend do so
    -- where the message is visible.
    IF (new.last_read_at IS NULL OR new.vt <= clock_timestamp())
        AND current_setting('transaction_isolation') = 'read committed'
        AND pgmq._is_of_queue(TG_RELID, TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_ARGV[0])
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
DECLARE
    v_channel text;
    v_silent_since timestamptz;
    v_free_at CONSTANT timestamptz := pgmq._long_ago(clock_timestamp());
BEGIN
    -- A slot that somebody else holds is being looked at: it is found free when its lease would
    -- have ended.
    UPDATE pgmq.channel_slot AS f
    SET msg_id = null, read_ct = null, free_at = v_free_at
    WHERE f.ctid = ANY (ARRAY(
        SELECT s.ctid
        FROM pgmq.channel_slot AS s
        WHERE s.queue_name = _free_slot.queue_name
            AND s.msg_id = _free_slot.msg_id
            AND s.read_ct = _free_slot.read_ct
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING f.channel, (
        SELECT c.silent_since FROM pgmq.channel AS c WHERE c.channel = f.channel
    ) INTO v_channel, v_silent_since;
    IF v_silent_since IS NOT NULL THEN
        -- An answer, at last: see _pause.
        UPDATE pgmq.channel AS c SET silent_since = null
        WHERE c.ctid = ANY (ARRAY(
            SELECT d.ctid FROM pgmq.channel AS d WHERE d.channel = v_channel
            FOR NO KEY UPDATE SKIP LOCKED
        ));
        UPDATE pgmq.channel_slot AS f SET free_at = v_free_at
        WHERE f.ctid = ANY (ARRAY(
            SELECT s.ctid
            FROM pgmq.channel_slot AS s
            WHERE s.channel = v_channel AND s.msg_id IS NULL AND s.free_at > clock_timestamp()
            FOR UPDATE SKIP LOCKED
        ));
    END IF;
    RETURN v_channel IS NOT NULL;
END
$$;
COMMENT ON FUNCTION pgmq._free_slot(text, bigint, integer) IS 'Free the slot that a lease fills, if it was pushed.';

CREATE OR REPLACE FUNCTION pgmq._long_ago(moment timestamptz)
RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    -- A thousand years, in a unit that every day has as many of.
    SELECT moment - '8766000 hours'::interval
$$;
COMMENT ON FUNCTION pgmq._long_ago(timestamptz) IS
'Since when a slot is free, as it is stored.

The slot that is free for longest is the first one, and a clock that is set back does not fill any.';

-- That a transaction has looked in vain. Its last value of a sequence, which its session alone
-- knows and nobody else can set, holds the time (in ms), and behind it a hash of the transaction
-- and the queue, of which the last bit says that there was no message. A setting has it too, which
-- falls back when the transaction rolls back to a savepoint.
CREATE OR REPLACE FUNCTION pgmq._look(queue_name text, is_empty boolean)
RETURNS bigint
LANGUAGE sql VOLATILE
AS $$
    SELECT
        ((extract(epoch FROM clock_timestamp()) * '1000')::bigint & '2147483647'::bigint) << 32
        | (
            pg_catalog.hashtextextended(queue_name, pg_current_xact_id()::text::bigint)
            & '4294967294'::bigint
        )
        | is_empty::integer::bigint
$$;
COMMENT ON FUNCTION pgmq._look(text, boolean) IS
'A look at a queue by this transaction now, as the sequence holds it.';

CREATE OR REPLACE FUNCTION pgmq._note_look(queue_name text, is_empty boolean)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM pg_catalog.set_config(
        'pgmq.push_look',
        pg_catalog.setval('pgmq.channel_look'::regclass, pgmq._look(queue_name, is_empty))::text,
        true
    );
END
$$;
COMMENT ON FUNCTION pgmq._note_look(text, boolean) IS
'Note that this transaction has found nothing to push, or no slot.';

CREATE OR REPLACE FUNCTION pgmq._has_just_looked(queue_name text, was_empty boolean)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_now CONSTANT bigint := pgmq._look(queue_name, false);
    v_last bigint;
BEGIN
    v_last := pg_catalog.currval('pgmq.channel_look'::regclass);
    RETURN (v_now & '4294967294'::bigint) = (v_last & '4294967294'::bigint)
        AND (v_now >> 32) - (v_last >> 32) BETWEEN '0'::bigint AND '10'::bigint
        AND ((v_last & '1'::bigint) = '1'::bigint OR NOT was_empty)
        AND v_last::text = pg_catalog.current_setting('pgmq.push_look', true);
EXCEPTION
    WHEN object_not_in_prerequisite_state THEN      -- this session has noted nothing yet
        RETURN false;
END
$$;
COMMENT ON FUNCTION pgmq._has_just_looked(text, boolean) IS
'Whether this transaction has found nothing to push within the last hundredth of a second.

And, if asked, because there was no message.';
