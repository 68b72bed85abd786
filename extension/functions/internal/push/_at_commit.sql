-- The queue's triggers call this. If somebody adds such a trigger to another table, it must not
-- free slots of somebody else's queue.
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
        ELSE pg_catalog.pg_partition_root(relation)::oid = pgmq._queue_table(queue_name)::oid
    END IS TRUE
$$;
COMMENT ON FUNCTION pgmq._is_of_queue(oid, name, name, text) IS
'Whether this is the table of the queue, or a partition of it.';

CREATE OR REPLACE FUNCTION pgmq._await_counterpart(queue_name text, shared boolean)
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
COMMENT ON FUNCTION pgmq._await_counterpart(text, boolean) IS
'Wait up to a tenth of a second for commits that this transaction may have missed.

Two commits cannot see each other: one leaves a message without a slot, the other a slot without a
message. The later one waits here for the other, and then looks again. Sessions that leave messages
do not wait for each other.';

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
    -- One statement: a commit may run it for very many messages.
    v_free_at := (
        SELECT s.free_at FROM pgmq.channel_slot AS s
        WHERE s.queue_name = v_queue
        ORDER BY s.free_at
        LIMIT 1
    );
    IF v_free_at IS NULL THEN
        RETURN null;        -- there is no channel
    END IF;
    -- A commit may fire this trigger very many times. Each time must look again: since the last one
    -- there may be another message, or another transaction's commit. But a message that has been
    -- pushed already needs no look, and a look in vain is not repeated within a hundredth of a
    -- second. (Sessions that gave up waiting for this transaction, see _await_counterpart, have
    -- waited longer.)
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
    -- This transaction may leave a message, and another one a slot, because neither sees the
    -- other's. If both committed now, the message would stay. So one of them has to look after the
    -- other's commit. Transactions that leave messages do not wait for each other.
    IF v_left = 'messages' AND TG_OP <> 'DELETE'
        OR v_left = 'nothing' AND (TG_OP = 'UPDATE' OR v_freed)
    THEN
        IF v_left = 'messages' THEN
            PERFORM pgmq._close_lost(v_queue);
        END IF;
        PERFORM pgmq._await_counterpart(v_queue, v_left = 'messages');
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
'Trigger of a queue that pushes: the vt of a message has changed, but not by a read.';

CREATE OR REPLACE FUNCTION pgmq._push_backlog()
RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_queue text;
BEGIN
    IF TG_RELID NOT IN ('pgmq.channel'::regclass, 'pgmq.paused'::regclass) THEN
        RETURN null;        -- anybody may have it as a trigger of a table of their own
    END IF;
    v_queue := CASE TG_OP WHEN 'DELETE' THEN old.queue_name ELSE new.queue_name END;
    -- A sender that has found all slots filled may commit just now: see _push_at_commit. One that
    -- has found no channel waits for nobody.
    IF pgmq._pushes(v_queue) AND pgmq._push(v_queue, null, true) = 'nothing' THEN
        PERFORM pgmq._await_counterpart(v_queue, false);
        PERFORM pgmq._push(v_queue, null, true);
    END IF;
    RETURN null;
END
$$;
COMMENT ON FUNCTION pgmq._push_backlog() IS
'Trigger of pgmq.channel and pgmq.paused, deferred: a channel was opened, or a pause has ended.

Until the commit, senders see neither, and leave their messages.';

DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_trigger AS t
        WHERE t.tgrelid = 'pgmq.channel'::regclass AND t.tgname = 'push_backlog'
    )
    THEN
        CREATE CONSTRAINT TRIGGER push_backlog AFTER INSERT ON pgmq.channel
        DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION pgmq._push_backlog();
        CREATE CONSTRAINT TRIGGER push_backlog AFTER DELETE ON pgmq.paused
        DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (old.reads) EXECUTE FUNCTION pgmq._push_backlog();
    END IF;
END
$$;
