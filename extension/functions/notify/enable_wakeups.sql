CREATE OR REPLACE FUNCTION pgmq.enable_wakeups(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_function CONSTANT text := pgmq._function_name('wake', queue_name);
    v_table regclass;
BEGIN
    PERFORM pgmq._compiled('enqueue', queue_name);      -- an unknown queue is an error
    v_table := pgmq._queue_to_announce(queue_name, 'READY');
    IF EXISTS (
        SELECT FROM pg_trigger AS t
        WHERE t.tgrelid = v_table AND t.tgname = 'pgmq_wake_sent'
    ) THEN
        RETURN;
    END IF;
    PERFORM pgmq._add_relations(queue_name, 'wakeups');
    PERFORM pgmq._compile(queue_name);
    EXECUTE format(
        $ddl$
        CREATE TRIGGER pgmq_wake_sent AFTER INSERT ON %s
        FOR EACH STATEMENT EXECUTE FUNCTION pgmq.%I()
        $ddl$,
        v_table, v_function
    );
    -- A read does not fire this: a lease only moves vt to a later time. (Streams are never updated.)
    IF NOT pgmq._is_stream(v_table) THEN
        EXECUTE format(
            $ddl$
            CREATE TRIGGER pgmq_wake_returned AFTER UPDATE ON %s
            FOR EACH ROW WHEN (new.vt < old.vt) EXECUTE FUNCTION pgmq.%I()
            $ddl$,
            v_table, v_function
        );
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq.enable_wakeups(text) IS
'Let consumers of a queue wait with await.

From now on, while a consumer waits, commits that bring messages are announced on the channel
pgmq.q_<queue>.READY. Does nothing if wakeups are on already. Waits for the transactions that use
the queue.';
