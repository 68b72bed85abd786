CREATE OR REPLACE FUNCTION pgmq.disable_wakeups(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
BEGIN
    PERFORM pgmq._compiled('enqueue', queue_name);     -- an unknown queue is an error
    PERFORM pgmq._drop_trigger('pgmq_wake_sent', queue_name);
    PERFORM pgmq._drop_trigger('pgmq_wake_returned', queue_name);
    EXECUTE format(
        'DROP SEQUENCE IF EXISTS pgmq.%I', pgmq._relation_name('armed_until', queue_name)
    );
END
$$;
COMMENT ON FUNCTION pgmq.disable_wakeups(text) IS
'Undo enable_wakeups: waiting consumers are not woken any more.

A consumer that waits already looks again at the time that await returned. Waits for the
transactions that use the queue.';
