CREATE OR REPLACE FUNCTION pgmq._in_extension_script()
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- What meta.sql has called already; refused anywhere else.
    PERFORM pg_extension_config_dump('pgmq.meta', '');
    RETURN true;
EXCEPTION
    WHEN feature_not_supported OR object_not_in_prerequisite_state THEN
        RETURN false;
END
$$;
COMMENT ON FUNCTION pgmq._in_extension_script() IS
'Whether CREATE EXTENSION or ALTER EXTENSION UPDATE is running: what is created then becomes a member of the extension.';

CREATE OR REPLACE FUNCTION pgmq._members()
RETURNS TABLE (type text, identity text, name text, function_xmin xid)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT o.type, o.identity, coalesce(quote_ident(p.proname), o.name), p.xmin
    FROM pg_depend AS d
    CROSS JOIN pg_identify_object(d.classid, d.objid, 0) AS o
    LEFT JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
    WHERE d.refclassid = 'pg_extension'::regclass
        AND d.refobjid = (SELECT e.oid FROM pg_extension AS e WHERE e.extname = 'pgmq')
        AND d.deptype = 'e'
$$;
COMMENT ON FUNCTION pgmq._members() IS
'What belongs to the extension: its name, quoted where it must be, and for a function who wrote it last.';

CREATE OR REPLACE FUNCTION pgmq._release_members()
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_names text[] := ARRAY(
        SELECT quote_ident(o.prefix || pgmq._suffix(m.queue_name))
        FROM pgmq.meta AS m
        CROSS JOIN (
            SELECT unnest(ARRAY[
                '_message_', 'ready_mark_', 'parked_mark_', 'live_mark_', 'look_due_',
                'floor_mark_', 'top_mark_', 'tend_due_', 'sweep_due_', 'notify_at_', 'armed_until_', 'dedup_'
            ])
            UNION ALL
            SELECT format('_%s_', t.name) FROM pgmq.template AS t
        ) AS o (prefix)
    );
    v_member record;
BEGIN
    FOR v_member IN
        SELECT m.type, m.identity FROM pgmq._members() AS m WHERE m.name = ANY (v_names)
    LOOP
        EXECUTE format('ALTER EXTENSION pgmq DROP %s %s', v_member.type, v_member.identity);
    END LOOP;
    -- What an extension's script grants, and all that was granted on the same before, a dump takes
    -- for the extension's and leaves out, also of what is no member. Leaving it ends that.
    FOR v_member IN
        SELECT DISTINCT
            CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS type,
            format('pgmq.%I', c.relname) AS identity
        FROM pg_init_privs AS i
        INNER JOIN pg_class AS c ON i.objoid = c.oid AND i.classoid = 'pg_class'::regclass
        WHERE c.relnamespace = 'pgmq'::regnamespace AND i.privtype = 'e'
            AND NOT EXISTS (
                SELECT FROM pg_depend AS d
                WHERE d.classid = i.classoid AND d.objid = c.oid AND d.deptype = 'e'
            )
    LOOP
        EXECUTE format('ALTER EXTENSION pgmq ADD %s %s', v_member.type, v_member.identity);
        EXECUTE format('ALTER EXTENSION pgmq DROP %s %s', v_member.type, v_member.identity);
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._release_members() IS
'Let go of what the extension''s script made for queues: a queue''s objects are the user''s, and a dump must carry them.';

CREATE OR REPLACE FUNCTION pgmq._compile(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET check_function_bodies = off
AS $$
DECLARE
    v_owner oid := (
        SELECT c.relowner FROM pg_class AS c
        WHERE c.oid = format('pgmq.%I', pgmq.format_table_name(queue_name, 'q'))::regclass
    );
    v_partitioned boolean := pgmq._partition_column(
        format('pgmq.%I', pgmq.format_table_name(queue_name, 'q'))
    ) IS NOT NULL;
    v_in_script boolean := pgmq._in_extension_script();
    v_policy pgmq.policy;
    v_dedup text := format('pgmq.%I', 'dedup_' || pgmq._suffix(queue_name));
    v_template record;
    v_function regproc;
BEGIN
    PERFORM pgmq.acquire_queue_lock(lower(queue_name));
    v_policy := pgmq._policy_of(queue_name);
    IF (SELECT c.relowner FROM pg_class AS c WHERE c.oid = to_regclass(v_dedup)) <> v_owner THEN
        EXECUTE format('ALTER TABLE %s OWNER TO %s', v_dedup, v_owner::regrole);
    END IF;
    FOR v_template IN
        SELECT
            t.name,
            pgmq._render(t.body, queue_name, v_policy) AS sql,
            t.body ~ '[$](live|timely|front|first|top)' AS prunes,
            format('pgmq.%I', pgmq._function_name(t.name, queue_name)) AS function_name
        FROM pgmq.template AS t
    LOOP
        IF v_in_script THEN
            PERFORM pgmq._enter_compiled(v_template.name, queue_name);
        END IF;
        BEGIN
            EXECUTE v_template.sql;
            v_function := v_template.function_name::regproc;
        EXCEPTION WHEN invalid_function_definition OR ambiguous_function THEN
            -- An older version's has other arguments or another result.
            PERFORM pgmq._drop_compiled(v_template.name, queue_name);
            EXECUTE v_template.sql;
            v_function := v_template.function_name::regproc;
        END;
        -- Planning each time costs less than a plan for all partitions does to start.
        IF v_template.prunes AND v_partitioned THEN
            EXECUTE format(
                'ALTER FUNCTION %s SET plan_cache_mode = force_custom_plan', v_function
            );
        END IF;
        IF (SELECT p.proowner FROM pg_proc AS p WHERE p.oid = v_function) <> v_owner THEN
            EXECUTE format('ALTER FUNCTION %s OWNER TO %s', v_function, v_owner::regrole);
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._compile(text) IS
'Render every template for this queue and its policy, and create the functions, which like its other relations get the owner of the table; safe to repeat.';

CREATE OR REPLACE FUNCTION pgmq._all_compiled(operation text, queue_name text)
RETURNS SETOF regprocedure
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.oid
    FROM pg_catalog.pg_proc AS p
    WHERE p.proname = pgmq._function_name(operation, queue_name)::name
        AND p.pronamespace = 'pgmq'::regnamespace
$$;
COMMENT ON FUNCTION pgmq._all_compiled(text, text) IS
'What an operation was compiled into for this queue, whatever its arguments.';

CREATE OR REPLACE FUNCTION pgmq._enter_compiled(operation text, queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_function regprocedure;
BEGIN
    FOR v_function IN
        SELECT f
        FROM pgmq._all_compiled(operation, queue_name) AS f
        WHERE NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_proc'::regclass AND d.objid = f AND d.deptype = 'e'
        )
    LOOP
        EXECUTE format('ALTER EXTENSION pgmq ADD FUNCTION %s', v_function);
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._enter_compiled(text, text) IS
'Make what an operation was compiled into a member of the extension for now, whose script must not replace anything else; it cannot drop what triggers need.';

CREATE OR REPLACE FUNCTION pgmq._drop_compiled(operation text, queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_function regprocedure;
BEGIN
    FOR v_function IN SELECT f FROM pgmq._all_compiled(operation, queue_name) AS f LOOP
        EXECUTE format('DROP FUNCTION %s', v_function);
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._drop_compiled(text, text) IS
'Drop what an operation was compiled into for this queue.';
