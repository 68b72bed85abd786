-- Push delivery. A queue that pushes has triggers; a slot is a row; a delivery is an ordinary
-- lease.
--
-- Messages are pushed when a transaction commits (the triggers are deferred), so that a long one
-- holds neither slots nor other messages. Slots are taken with SKIP LOCKED, so nobody waits for
-- one. Counting slots and leases needs the newest rows. So under REPEATABLE READ nothing is pushed:
-- the messages stay visible, and the next commit pushes them.
--
-- The triggers run with the rights of the extension's owner: producers and consumers have no rights
-- on channels, and producers may not lease. Nothing depends on what a caller can set.
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
        -- Look for slots first, which is cheaper, but lock none in vain.
        EXIT WHEN NOT EXISTS (
            SELECT FROM pgmq.channel_slot AS s
            WHERE s.queue_name = _push.queue_name AND s.free_at <= v_now
        );
        IF (pgmq.next_visible_at(queue_name) <= v_now) IS NOT TRUE THEN
            RETURN 'nothing';
        END IF;
        SELECT s.channel, s.number, s.msg_id, s.read_ct, s.free_at, c.vt, c.silent_since, c.opened_by
        INTO v_slot
        FROM pgmq.channel_slot AS s
        INNER JOIN pgmq.channel AS c ON s.channel = c.channel
        WHERE s.queue_name = _push.queue_name AND s.free_at <= v_now
        ORDER BY s.free_at
        LIMIT 1
        FOR UPDATE OF s SKIP LOCKED;
        EXIT WHEN NOT FOUND;
        IF NOT pgmq._is_open(v_slot.channel)
            -- The role may have lost its rights since then. (2.0.0 did not note the role.)
            OR v_slot.opened_by IS NOT NULL AND (
                NOT pgmq._may_lease(v_slot.opened_by, queue_name)
                OR pgmq._is_filtered(v_slot.opened_by, queue_name)
            )
        THEN
            IF NOT pgmq._close(v_slot.channel, false) THEN      -- somebody else is at it
                UPDATE pgmq.channel_slot AS s SET free_at = v_now + interval '1 second'
                WHERE s.channel = v_slot.channel AND s.number = v_slot.number;
            END IF;
            CONTINUE;
        END IF;

        v_silent_since := v_slot.silent_since;
        IF v_slot.msg_id IS NOT NULL THEN
            SELECT m.* INTO v_message FROM pgmq.get(_push.queue_name, v_slot.msg_id) AS m;
            -- An extended lease still fills the slot. Its acknowledgement may find the slot locked
            -- by this transaction and leave it, so the slot is looked at again after another vt.
            IF v_message.read_ct = v_slot.read_ct AND v_message.vt > v_now THEN
                UPDATE pgmq.channel_slot AS s
                SET free_at = least(v_message.vt, v_now + make_interval(secs => v_slot.vt))
                WHERE s.channel = v_slot.channel AND s.number = v_slot.number;
                CONTINUE;
            END IF;
            -- Nobody has answered if the message is unchanged, or was read again after its lease.
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

        -- Behind many closed groups a search finds a free one only now and then.
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

If create_fifo_index was called, they are pushed by free groups: if thorough, of all groups, and of
the one given (null for none). Returns what may be left: messages, or nothing. Returns null under
another isolation level than READ COMMITTED.';

CREATE OR REPLACE FUNCTION pgmq._is_grouped(queue_name text)
RETURNS boolean
LANGUAGE sql STABLE
AS $$
    SELECT pgmq._relation('fifo_idx', queue_name) IS NOT NULL
$$;
COMMENT ON FUNCTION pgmq._is_grouped(text) IS
'Whether create_fifo_index was called for a queue, so that it is pushed group by group.';
