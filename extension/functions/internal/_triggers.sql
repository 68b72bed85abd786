-- The triggers of queues. Creating or dropping a trigger waits for the transactions that use the
-- queue, and later transactions wait meanwhile.
CREATE OR REPLACE FUNCTION pgmq._queue_to_announce(queue_name text, event text)
RETURNS regclass
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_table text := pgmq.format_table_name(queue_name, 'q');
    v_channel text := format('pgmq.%s.%s', v_table, event);
BEGIN
    IF octet_length(v_channel) > 63 THEN
        RAISE EXCEPTION 'queue name "%" is too long in bytes for a channel: %, maximum is %',
            queue_name, octet_length(v_table) - 2,
            63 - octet_length(v_channel) + octet_length(v_table) - 2
            USING ERRCODE = 'name_too_long', HINT = 'Postgres limits a channel''s name to 63 bytes.';
    END IF;
    PERFORM pgmq._lock_queue(queue_name);
    RETURN format('pgmq.%I', v_table)::regclass;
END
$$;
COMMENT ON FUNCTION pgmq._queue_to_announce(text, text) IS
'Lock and return the table of a queue; raise an error if the name is too long for a channel.';

CREATE OR REPLACE FUNCTION pgmq._insert_throttle(relation regclass, of_today boolean DEFAULT false)
RETURNS integer
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- The first argument of the trigger. Each argument is stored with a zero byte behind it.
    SELECT convert_from(
        substring(t.tgargs FOR position(decode('00', 'hex') IN t.tgargs) - 1), 'SQL_ASCII'
    )::integer
    FROM pg_trigger AS t
    WHERE t.tgrelid = relation AND t.tgname = 'trigger_notify_queue_insert_listeners'
        AND t.tgenabled IN ('O', 'A')
        AND CASE t.tgnargs
            WHEN 3 THEN t.tgfoid = 'pgmq.notify_queue_listeners()'::regprocedure
            WHEN 1 THEN NOT of_today        -- of 2.0.0
        END
$$;
COMMENT ON FUNCTION pgmq._insert_throttle(regclass, boolean) IS
'The interval that enable_notify_insert was called with for a table; null if it was not called.';

CREATE OR REPLACE FUNCTION pgmq._drop_trigger(trigger_name text, queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_table regclass;
BEGIN
    IF queue_name IS NULL THEN
        PERFORM pgmq._raise_null('queue name', 'pgmq.list_queues() has the names there are.');
    END IF;
    v_table := pgmq._queue_table(queue_name);
    -- Look first: if there is nothing to drop, take no lock.
    IF EXISTS (
        SELECT FROM pg_trigger AS t
        WHERE t.tgrelid = v_table AND t.tgname = trigger_name AND t.tgparentid = 0
    ) THEN
        PERFORM pgmq._lock_queue(queue_name);
        PERFORM pgmq._lock_out_all(v_table);
        EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', trigger_name, v_table);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._drop_trigger(text, text) IS 'Drop a trigger of a queue, if it is there.';

CREATE OR REPLACE FUNCTION pgmq._pushes(queue_name text)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM pg_catalog.pg_trigger AS t
        WHERE t.tgrelid = pgmq._queue_table(queue_name)
            AND t.tgname = 'pgmq_push_slot'
    )
$$;
COMMENT ON FUNCTION pgmq._pushes(text) IS 'Whether enable_push was called for a queue.';

CREATE OR REPLACE FUNCTION pgmq._wake(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_armed CONSTANT regclass := pgmq._relation('armed_until', queue_name);
BEGIN
    IF pgmq._microseconds(clock_timestamp()) < pg_sequence_last_value(v_armed) THEN
        PERFORM pg_notify(format('pgmq.q_%s.READY', lower(queue_name)), '');
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._wake(text) IS
'Wake the consumers that wait for a queue, as the template wake does when a message arrives.';
