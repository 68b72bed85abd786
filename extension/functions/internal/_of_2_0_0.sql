-- An upgrade from 2.0.0 must not wait until nobody uses a queue: consumers that poll hold its table
-- nearly always. So it adds functions, and leaves those of 2.0.0 to calls that began before it.
-- What these may need, and what needs the table's lock, is done later.
CREATE OR REPLACE FUNCTION pgmq._parts_of_2_0_0()
RETURNS TABLE (is_compiled boolean, name text, arguments text)
LANGUAGE sql IMMUTABLE
AS $$
    VALUES
    (true, 'ack', 'bigint, integer'),
    (true, 'ackbatch', 'bigint[], integer[]'),
    (true, 'ackread', 'integer, integer, bigint[], integer[]'),
    (true, 'archivebatch', 'bigint[]'),
    (true, 'claim', 'integer, jsonb, integer'),
    (true, 'delete', 'bigint'),
    (true, 'deletebatch', 'bigint[]'),
    (true, 'extend', 'bigint[], integer[], integer'),
    (true, 'groupchoose', 'integer, text, text, integer'),
    (true, 'groupclaim', 'timestamptz, bigint[], integer, text, text, boolean'),
    (true, 'grouped', 'integer, integer, text, text'),
    (true, 'groupfront', 'timestamptz, integer, bigint[], boolean'),
    (true, 'groupplan', 'timestamptz, bigint[], integer, text, text, boolean'),
    (true, 'groupsearch', 'timestamptz, integer, integer, bigint[], bigint'),
    (true, 'nack', 'bigint[], integer[], integer, text'),
    (true, 'next', ''),
    (true, 'notify', ''),
    (true, 'peek', 'integer, jsonb'),
    (true, 'pop', 'integer'),
    (true, 'read', 'integer, integer, jsonb'),
    (true, 'redrive', 'text, bigint'),
    (true, 'reserve', 'text[]'),
    (true, 'send', 'jsonb, jsonb, timestamptz'),
    (true, 'setvt', 'bigint[], timestamptz'),
    (true, 'upkeep', ''),
    (true, 'visible', 'timestamptz, bigint, jsonb'),
    (false, '_add_index', 'text, text'),
    (false, '_add_mark', 'text, text'),
    (false, '_close', 'text'),
    (false, '_close_dead', 'text'),
    (false, '_dead_letter_queue', 'text, text'),
    (false, '_estimated_rows', 'regclass'),
    (false, '_has_fifo_index', 'text, text'),
    (false, '_lease_to_push', 'text, integer'),
    (false, '_meet', 'text, boolean'),
    (false, '_missing', 'text, text'),
    (false, '_move', 'text, bigint[], text, boolean'),
    (false, '_partition', 'text, boolean, text, text, integer'),
    (false, '_planned_rows', 'text'),
    (false, '_push', 'text'),
    (false, '_render', 'text, text, pgmq.policy'),
    (false, '_writers', 'regclass')
$$;
COMMENT ON FUNCTION pgmq._parts_of_2_0_0() IS
'The templates and internal functions of 2.0.0 that have other names or arguments now.';

CREATE OR REPLACE FUNCTION pgmq._functions_of_2_0_0(queue_name text DEFAULT null)
RETURNS SETOF regprocedure
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- By name and arguments: for a queue called "batch", the name alone is also that of another
    -- function.
    SELECT to_regprocedure(format(
        'pgmq.%I(%s)',
        CASE
            WHEN queue_name IS NULL THEN f.name
            ELSE pgmq._function_name(f.name, queue_name)
        END,
        f.arguments
    )) AS id
    FROM pgmq._parts_of_2_0_0() AS f
    WHERE f.is_compiled = (queue_name IS NOT NULL)
$$;
COMMENT ON FUNCTION pgmq._functions_of_2_0_0(text) IS
'What 2.0.0 compiled into a queue under other names or with other arguments than today.

Without a queue: its internal functions that have other names or arguments now. Nulls are those that
are not there.';

CREATE OR REPLACE FUNCTION pgmq._type_of_2_0_0(queue_name text)
RETURNS regtype
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- For a queue called "record", the name is also that of the arrays of pgmq.message_record.
    SELECT t.oid::regtype
    FROM pg_type AS t
    WHERE t.oid = to_regtype(format('pgmq.%I', concat('_message_', pgmq._suffix(queue_name))))
        AND t.typtype = 'c'
$$;
COMMENT ON FUNCTION pgmq._type_of_2_0_0(text) IS
'The type of the results of a queue''s functions of 2.0.0; null if it has none of these.';

-- In 2.0.0 the length of the name as it was created, not in lower case, told whether the names of
-- what belongs to a queue end with its md5. Some of these were too long and cut off.
CREATE OR REPLACE FUNCTION pgmq._rename_parts(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_old CONSTANT text := CASE
        WHEN octet_length(queue_name) <= 47 THEN lower(queue_name)
        ELSE md5(lower(queue_name))
    END;
    v_new CONSTANT text := pgmq._suffix(queue_name);
    v_part record;
BEGIN
    -- Each queue of 2.0.0 has a type. Without it, a relation is that of another queue.
    IF v_old = v_new OR to_regtype(format('pgmq.%I', concat('_message_', v_old))) IS NULL THEN
        RETURN;
    END IF;
    FOR v_part IN
        SELECT r.role, c.oid::regclass AS relation, c.relkind AS kind, null::regprocedure AS function
        FROM (
            SELECT s.role FROM pgmq._relations(queue_name) AS s
            UNION ALL
            VALUES ('look_due'), ('_message')
        ) AS r
        INNER JOIN pg_class AS c
            ON c.oid = to_regclass(format('pgmq.%I', concat_ws('_', r.role, v_old)))
        UNION ALL
        SELECT concat('_', t.name), null, null, p.oid
        FROM (SELECT DISTINCT b.name FROM pgmq._templates() AS b) AS t
        INNER JOIN pg_proc AS p
            ON p.proname = concat_ws('_', '', t.name, v_old)::name
            AND p.pronamespace = 'pgmq'::regnamespace
    LOOP
        IF v_part.function IS NOT NULL THEN
            EXECUTE format(
                'ALTER FUNCTION %s RENAME TO %I', v_part.function, concat_ws('_', v_part.role, v_new)
            );
        ELSE
            EXECUTE format(
                'ALTER %s %s RENAME TO %I',
                CASE v_part.kind
                    WHEN 'S' THEN 'SEQUENCE' WHEN 'c' THEN 'TYPE' WHEN 'r' THEN 'TABLE' ELSE 'INDEX'
                END,
                v_part.relation, concat_ws('_', v_part.role, v_new)
            );
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._rename_parts(text) IS
'Give what belongs to a queue of 2.0.0 the names of today, where they differ.';

CREATE OR REPLACE FUNCTION pgmq._drop_unwanted(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_features CONSTANT jsonb := pgmq._features(queue_name, pgmq._policy_of(queue_name));
BEGIN
    PERFORM pgmq._drop_compiled(t.name, queue_name)
    FROM (
        SELECT b.name
        FROM pgmq._templates() AS b
        GROUP BY b.name
        HAVING NOT bool_or(pgmq._has_feature(b.features, v_features))
    ) AS t;
END
$$;
COMMENT ON FUNCTION pgmq._drop_unwanted(text) IS
'Drop the functions of templates that are not for this queue.

They would look as if something was enabled that is not, and no other function of the queue calls
them.';

CREATE OR REPLACE FUNCTION pgmq._has_company()
RETURNS boolean
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM pg_stat_activity AS a
        WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
            AND a.backend_type IS DISTINCT FROM 'autovacuum worker'
    )
$$;
COMMENT ON FUNCTION pgmq._has_company() IS 'Whether other sessions are connected to this database.';

CREATE OR REPLACE FUNCTION pgmq._shed(queue_name text DEFAULT null)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_function regprocedure;
BEGIN
    FOR v_function IN
        SELECT p.oid
        FROM pgmq._functions_of_2_0_0(queue_name) AS f (id)
        INNER JOIN pg_proc AS p ON f.id = p.oid
        WHERE pg_has_role(p.proowner, 'USAGE')
            -- What is a member of the extension, the next upgrade drops.
            AND (pgmq._in_extension_script() OR NOT EXISTS (
                SELECT FROM pg_depend AS d
                WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
            ))
    LOOP
        EXECUTE format('DROP FUNCTION %s', v_function);
    END LOOP;
    IF pgmq._type_of_2_0_0(queue_name) IS NOT NULL THEN
        EXECUTE format('DROP TYPE %s', pgmq._type_of_2_0_0(queue_name));
        EXECUTE format(     -- it spaced looks
            'DROP SEQUENCE IF EXISTS pgmq.%I', pgmq._relation_name('look_due', queue_name)
        );
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._shed(text) IS
'Drop what only the functions of 2.0.0 use of a queue; without a queue, its internal functions.';

CREATE OR REPLACE FUNCTION pgmq._shed_if_last()
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Usually that was long ago, and the queues need not be looked at.
    IF EXISTS (SELECT FROM pgmq._functions_of_2_0_0() AS f (id) WHERE f.id IS NOT NULL)
        AND NOT EXISTS (
            SELECT FROM pgmq.meta AS m WHERE pgmq._type_of_2_0_0(m.queue_name) IS NOT NULL
        )
    THEN
        PERFORM pgmq._shed();
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._shed_if_last() IS
'Drop the internal functions of 2.0.0 when no queue has any of its functions.';

CREATE OR REPLACE FUNCTION pgmq._finish_upgrade(queue_name text, patience text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
    v_queue CONSTANT regclass := pgmq._queue_table(queue_name);
    v_throttle CONSTANT integer := pgmq._insert_throttle(v_queue);
    v_wanted CONSTANT text := current_setting('lock_timeout');
BEGIN
    PERFORM set_config('lock_timeout', patience, true);
    -- In 2.0.0, a trigger of push delivery took no notice of delayed messages that were deleted.
    -- This comes first: it takes the strongest lock.
    IF EXISTS (
        SELECT FROM pg_trigger AS t
        WHERE t.tgrelid = v_queue AND t.tgname = 'pgmq_push_removed'
            AND pg_get_triggerdef(t.oid) !~ 'enqueued_at'
    )
    THEN
        PERFORM pgmq.disable_push(queue_name);
        PERFORM pgmq.enable_push(queue_name);
    END IF;
    -- The trigger function of 2.0.0, which each queue had, goes on to announce until then.
    IF v_throttle IS NOT NULL AND pgmq._insert_throttle(v_queue, true) IS NULL THEN
        PERFORM pgmq.enable_notify_insert(queue_name, v_throttle);
    END IF;
    IF pgmq._partition_column(v_queue::text) IS NOT NULL THEN
        PERFORM pgmq._add_replica_identity(v_queue);
        PERFORM pgmq._add_replica_identity(pgmq._queue_table(queue_name, true));
    END IF;
    PERFORM set_config('lock_timeout', v_wanted, true);
    RETURN true;
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
    RETURN false;       -- another time; all works as it is
END
$$;
COMMENT ON FUNCTION pgmq._finish_upgrade(text, text) IS
'Do for a queue of 2.0.0 what locks its table, if that can be had within a time.

Returns whether it is done.';
