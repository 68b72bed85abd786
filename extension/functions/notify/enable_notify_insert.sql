CREATE OR REPLACE FUNCTION pgmq.enable_notify_insert(
    queue_name text,
    throttle_interval_ms integer DEFAULT 250
)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_table regclass;
    v_clock text;
BEGIN
    PERFORM pgmq.format_table_name(queue_name, 'q');    -- an invalid name is an error
    v_clock := pgmq._relation_name('notify_at', queue_name);
    IF throttle_interval_ms IS NULL THEN
        PERFORM pgmq._raise_null('throttle_interval_ms', 'Give milliseconds; 0 is no throttle.');
    END IF;
    IF throttle_interval_ms < 0 THEN
        RAISE EXCEPTION 'throttle_interval_ms must be non-negative'
            USING HINT = 'Give milliseconds; 0 is no throttle.';
    END IF;
    IF NOT EXISTS (
        SELECT FROM pgmq.meta AS m WHERE lower(m.queue_name) = lower(enable_notify_insert.queue_name)
    ) THEN
        RAISE EXCEPTION 'Queue "%" does not exist. Create it first using pgmq.create()', queue_name;
    END IF;
    -- Consumers call this when they start. If everything is there already, the table is not locked:
    -- the lock would wait for producers and consumers, and others would wait behind it.
    v_table := pgmq._queue_table(queue_name);
    IF pgmq._insert_throttle(v_table, true) = throttle_interval_ms
        AND to_regclass(format('pgmq.%I', v_clock)) IS NOT NULL
    THEN
        IF NOT has_sequence_privilege(format('pgmq.%I', v_clock), 'UPDATE') THEN
            RETURN;
        END IF;
        PERFORM pgmq._lock_table_first(queue_name);     -- it may have been dropped
    ELSE
        v_table := pgmq._queue_to_announce(queue_name, 'INSERT');
        PERFORM pgmq._add_relations(queue_name, 'notify');
        PERFORM pgmq._compile(queue_name);
        EXECUTE format(
            $ddl$
            CREATE OR REPLACE TRIGGER trigger_notify_queue_insert_listeners
            AFTER INSERT ON %s
            REFERENCING NEW TABLE AS arrived
            FOR EACH STATEMENT EXECUTE FUNCTION pgmq.notify_queue_listeners(%L, %L, %L)
            $ddl$,
            v_table, throttle_interval_ms, v_clock, pgmq._function_name('announce', queue_name)
        );
    END IF;
    -- The next message is announced, no matter when the last announcement was.
    PERFORM setval(format('pgmq.%I', v_clock)::regclass, 0);
END
$$;
COMMENT ON FUNCTION pgmq.enable_notify_insert(text, integer) IS
'Announce inserts into a queue on the channel pgmq.q_<queue>.INSERT when they commit.

Quote the channel''s name to LISTEN. The payload is empty. Each statement that inserts makes one
announcement, but none within throttle_interval_ms milliseconds after another that was committed; 0
means no throttle. What the throttle suppresses is not announced later, so consumers should also
poll now and then.

Calling this again changes the interval, and waits for the transactions that use the queue. With the
interval that is set already it waits for nobody.';
