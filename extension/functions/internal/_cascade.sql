-- What foreign keys would do. There are none between the tables that a dump contains: pg_restore -j
-- fills the tables of an extension in any order, and makes their keys before.
CREATE OR REPLACE FUNCTION pgmq._cascade_queue()
RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_RELID <> 'pgmq.meta'::regclass THEN
        RETURN null;        -- anybody may have it as a trigger of a table of their own
    END IF;
    PERFORM pgmq._refuse_source(old.queue_name);
    DELETE FROM pgmq.policy AS t WHERE t.queue_name = old.queue_name;
    DELETE FROM pgmq.paused AS t WHERE t.queue_name = old.queue_name;
    DELETE FROM pgmq.pinned AS t WHERE t.queue_name = old.queue_name;
    DELETE FROM pgmq.partitioning AS t WHERE t.queue_name = old.queue_name;
    DELETE FROM pgmq.schedule AS t WHERE t.queue_name = old.queue_name;
    DELETE FROM pgmq.topic_bindings AS t
    WHERE lower(t.queue_name) = lower(old.queue_name) AND t.queue_name = old.queue_name;
    DELETE FROM pgmq.binding AS t WHERE t.queue_name = old.queue_name;
    DELETE FROM pgmq.stream_group AS t WHERE t.queue_name = old.queue_name;
    DELETE FROM pgmq.stream_segment AS t WHERE t.queue_name = old.queue_name;
    DELETE FROM pgmq.channel AS t WHERE t.queue_name = old.queue_name;
    RETURN null;
END
$$;
COMMENT ON FUNCTION pgmq._cascade_queue() IS
'Trigger: what belongs to a row of pgmq.meta goes with it.';

CREATE OR REPLACE FUNCTION pgmq._cascade_exchange()
RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_RELID <> 'pgmq.exchange'::regclass THEN
        RETURN null;        -- as above
    END IF;
    -- _bind() has looked for the exchange under this lock.
    PERFORM pg_advisory_xact_lock(pgmq._exchange_lock(old.exchange_name));
    DELETE FROM pgmq.binding AS t WHERE t.exchange_name = old.exchange_name;
    RETURN null;
END
$$;
COMMENT ON FUNCTION pgmq._cascade_exchange() IS
'Trigger: the bindings of an exchange go with it.';

CREATE OR REPLACE FUNCTION pgmq._exchange_lock(exchange_name text)
RETURNS bigint
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT hashtext(format('pgmq.exchange_%s', exchange_name))::bigint
$$;
COMMENT ON FUNCTION pgmq._exchange_lock(text) IS
'The number of the advisory lock of an exchange''s name.';

CREATE OR REPLACE FUNCTION pgmq._check_cascade(object text)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('session_replication_role') = 'replica' THEN
        RAISE EXCEPTION '% cannot be dropped while session_replication_role is replica', object
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Triggers take away what belongs to it: RESET session_replication_role first.';
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._check_cascade(text) IS
'Raise an error where the triggers do not fire that take away what belongs to a queue or an exchange.';

CREATE OR REPLACE FUNCTION pgmq._refuse_source(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_source text;
BEGIN
    SELECT s.queue_name INTO v_source
    FROM (
        SELECT p.queue_name FROM pgmq.policy AS p
        WHERE lower(p.dead_letter_queue) = lower(_refuse_source.queue_name)
        UNION ALL
        SELECT g.queue_name FROM pgmq.stream_group AS g
        WHERE lower(g.dead_letter_queue) = lower(_refuse_source.queue_name)
    ) AS s
    -- All may go at once.
    INNER JOIN pgmq.meta AS m ON s.queue_name = m.queue_name
    ORDER BY s.queue_name
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'queue "%" takes the dead letters of queue "%"', queue_name, v_source
            USING ERRCODE = 'dependent_objects_still_exist',
                HINT = format(
                    'Drop queue "%1$s", or set its policy, or its group''s, without this'
                    ' dead_letter_queue, first.',
                    v_source
                );
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._refuse_source(text) IS
'Raise an error if another queue sends its dead letters to this one.';

DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_trigger AS t
        WHERE t.tgrelid = 'pgmq.meta'::regclass AND t.tgname = 'cascade'
    )
    THEN
        CREATE TRIGGER cascade AFTER DELETE ON pgmq.meta
        FOR EACH ROW EXECUTE FUNCTION pgmq._cascade_queue();
        CREATE TRIGGER cascade AFTER DELETE ON pgmq.exchange
        FOR EACH ROW EXECUTE FUNCTION pgmq._cascade_exchange();
    END IF;
END
$$;
