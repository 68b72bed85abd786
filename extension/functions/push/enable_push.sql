CREATE OR REPLACE FUNCTION pgmq.enable_push(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_table regclass;
    v_event record;
BEGIN
    PERFORM pgmq._compiled('receive', queue_name);     -- an unknown queue is an error
    queue_name := pgmq._lock_queue(queue_name);
    v_table := format('pgmq.%I', pgmq.format_table_name(queue_name, 'q'))::regclass;
    IF pgmq._pushes(queue_name) THEN
        RETURN;
    END IF;
    FOR v_event IN
        SELECT * FROM (
            VALUES
                ('pgmq_push_sent', 'INSERT', 'new.vt <= new.enqueued_at'),
                -- What was never leased frees no slot. But it may have been delayed, and the head of
                -- a FIFO group, which opens now.
                ('pgmq_push_removed', 'DELETE', 'old.read_ct > 0 OR old.vt > old.enqueued_at'),
                -- A read does not match the condition: it counts read_ct up.
                ('pgmq_push_returned', 'UPDATE', 'new.read_ct = old.read_ct AND new.vt <> old.vt')
        ) AS e (name, operation, condition)
    LOOP
        EXECUTE format(
            $ddl$
            CREATE CONSTRAINT TRIGGER %I AFTER %s ON %s DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW WHEN (%s) EXECUTE FUNCTION pgmq._push_at_commit(%L)
            $ddl$,
            v_event.name, v_event.operation, v_table, v_event.condition, queue_name
        );
    END LOOP;
    EXECUTE format(
        $ddl$
        CREATE TRIGGER pgmq_push_slot AFTER UPDATE ON %s
        FOR EACH ROW WHEN (new.read_ct = old.read_ct AND new.vt <> old.vt)
        EXECUTE FUNCTION pgmq._free_slot_at_once(%L)
        $ddl$,
        v_table, queue_name
    );
END
$$;
COMMENT ON FUNCTION pgmq.enable_push(text) IS
'Prepare a queue for push delivery; open_channel does this itself for the queue''s owner.

For other consumers the owner must call this first. From then on every send, acknowledgement and
nack costs a little more, with channels or without. A transaction that has written to such a queue
can no longer drop or index it. Does nothing if push is enabled already. Waits for the transactions
that use the queue.';
