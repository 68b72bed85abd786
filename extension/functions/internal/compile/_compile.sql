CREATE OR REPLACE FUNCTION pgmq._any_queue()
RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT 'any_queue_9d2f64c1'
$$;
COMMENT ON FUNCTION pgmq._any_queue() IS 'A name that no queue can have, to render templates for.';

CREATE OR REPLACE FUNCTION pgmq._has_odd_name(queue_name text)
RETURNS boolean
LANGUAGE sql IMMUTABLE
AS $$
    -- One expression, so that it is inlined.
    SELECT queue_name !~ '^[a-z_][a-z0-9_]{0,46}$'
$$;
COMMENT ON FUNCTION pgmq._has_odd_name(text) IS
'Whether this name cannot simply stand where _any_queue()''s does in compiled functions.';

-- Rendering takes time. The functions of plain queues with ordinary names and the same policy
-- differ only in the names. So they are rendered once, for a name that no queue has; those without
-- a policy are rendered when the extension is installed.
CREATE OR REPLACE FUNCTION pgmq._differences(queue_name text DEFAULT null)
RETURNS TABLE (
    queue varchar,
    template text,
    sql text,
    function regprocedure,      -- null where it is missing
    is_stale boolean,
    is_foreign boolean
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_any CONSTANT text := pgmq._any_queue();
    v_quote CONSTANT text := repeat('$', 2);
    v_namespace CONSTANT oid := 'pgmq'::regnamespace;
    v_queue record;
    v_policy pgmq.policy;
    v_name text;
    v_plain CONSTANT jsonb := pgmq._features(v_any, pgmq._policy_of(v_any)) - 'queue_name';
    v_rendered jsonb;           -- for which features the following are
    v_wanted boolean[];
    v_names text[];
    v_sqls text[];
    v_heads text[];
    v_bodies text[];
    v_settings text[];
BEGIN
    FOR v_queue IN
        SELECT
            m.queue_name AS name,
            c.relowner AS owner,
            pgmq._suffix(m.queue_name) AS suffix,
            c.relkind = 'p' OR pgmq._has_odd_name(m.queue_name) AS is_special,
            pgmq._features(m.queue_name, pgmq._policy_of(m.queue_name)) - 'queue_name' AS features
        FROM (
            SELECT t.queue_name, pgmq._queue_table(t.queue_name) AS id
            FROM pgmq.meta AS t
            WHERE lower(t.queue_name) = lower(_differences.queue_name)
            UNION ALL
            SELECT t.queue_name, pgmq._queue_table(t.queue_name)
            FROM pgmq.meta AS t
            WHERE _differences.queue_name IS NULL
        ) AS m
        INNER JOIN pg_class AS c ON m.id = c.oid
        ORDER BY is_special, features       -- so that what is alike is rendered once
    LOOP
        v_name := CASE WHEN v_queue.is_special THEN v_queue.suffix ELSE v_any END;
        IF v_queue.is_special OR v_rendered IS DISTINCT FROM v_queue.features THEN
            v_rendered := CASE WHEN NOT v_queue.is_special THEN v_queue.features END;
            v_policy := pgmq._policy_of(v_queue.name);
            IF NOT v_queue.is_special THEN
                v_policy.queue_name := v_any;
            END IF;
            -- Materialized: rendered once each.
            WITH rendered AS MATERIALIZED (
                SELECT
                    t.name,
                    CASE
                        WHEN v_rendered = v_plain AND t.plain IS NOT NULL
                            THEN t.plain
                        ELSE pgmq._render(
                            t.body,
                            v_queue.features
                            || jsonb_build_object('queue_name', v_policy.queue_name),
                            (SELECT pgmq._words(v_policy.queue_name, v_policy))
                        )
                    END AS sql,
                    t.is_wanted
                FROM (
                    -- If there is a template for each kind of queue, the one for this kind.
                    SELECT DISTINCT ON (b.name)
                        b.name, b.body, b.plain,
                        pgmq._has_feature(b.features, v_queue.features) AS is_wanted
                    FROM pgmq._templates() AS b
                    ORDER BY b.name, is_wanted DESC
                ) AS t
                -- A function that is no longer wanted stays: an older call may still need it.
                WHERE t.is_wanted OR _differences.queue_name IS NULL
                    OR pgmq._enabled(t.name, v_queue.name) IS NOT NULL
            ),
            parts AS MATERIALIZED (
                SELECT
                    r.name, r.sql, r.is_wanted,
                    substr(
                        split_part(r.sql, concat('AS ', v_quote), 1),
                        strpos(r.sql, 'CREATE OR REPLACE')
                    ) AS head,
                    split_part(r.sql, v_quote, 2) AS body
                FROM rendered AS r
            )
            SELECT
                array_agg(r.name), array_agg(r.is_wanted), array_agg(r.sql), array_agg(r.head),
                array_agg(r.body),
                array_agg((
                    SELECT array_agg(
                        format('%s=%s', m.match[1], m.match[2]) ORDER BY m.match[1]
                    )::text
                    FROM regexp_matches(
                        r.head, '\mSET (\w+) = (\S+(?:, \S+)*)', 'g'
                    ) AS m (match)
                ))
            INTO v_names, v_wanted, v_sqls, v_heads, v_bodies, v_settings
            FROM parts AS r;
        END IF;
        RETURN QUERY
            SELECT
                v_queue.name, d.name, replace(d.sql, v_name, v_queue.suffix), d.id, d.is_stale,
                d.is_foreign
            FROM (
                SELECT
                    t.name,
                    t.sql,
                    p.oid::regprocedure AS id,
                    p.prosrc <> replace(t.body, v_name, v_queue.suffix)
                    OR p.prosecdef <> (strpos(t.head, 'SECURITY DEFINER') > 0)
                    OR p.provolatile <> CASE WHEN t.head ~ '\mSTABLE\M' THEN 's' ELSE 'v' END
                    OR (
                        SELECT array_agg(c.setting ORDER BY split_part(c.setting, '=', 1))::text
                        FROM unnest(p.proconfig) AS c (setting)
                    ) IS DISTINCT FROM t.settings AS is_stale,
                    p.proowner <> v_queue.owner AS is_foreign
                FROM unnest(v_names, v_wanted, v_sqls, v_heads, v_bodies, v_settings)
                    AS t (name, is_wanted, sql, head, body, settings)
                LEFT JOIN pg_proc AS p
                    ON p.proname = format('_%s_%s', t.name, v_queue.suffix)::name
                    AND p.pronamespace = v_namespace
                WHERE t.is_wanted OR p.oid IS NOT NULL
            ) AS d
            WHERE d.id IS NULL OR d.is_stale OR d.is_foreign;
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._differences(text) IS
'The compiled functions of a queue (null: of all) that are not as they should be, and their SQL.

These are functions that are missing, that differ from the templates and the policy, or that have
another owner than the table.';

-- Most new queues are plain and have no policy. Nothing needs to be compared then.
CREATE OR REPLACE FUNCTION pgmq._compile_new(queue_name text, owner oid)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET check_function_bodies = off SET quote_all_identifiers = off
AS $$
DECLARE
    v_any CONSTANT text := pgmq._any_queue();
    v_sql text;
BEGIN
    IF NOT pgmq._reuse(queue_name, owner) AND EXISTS (
        SELECT FROM pg_proc AS p
        WHERE p.pronamespace = 'pgmq'::regnamespace
            AND p.proname = ANY (pgmq._function_names(queue_name))
    )
    THEN
        RETURN false;
    END IF;
    IF owner <> quote_ident(current_user)::regrole OR pgmq._has_odd_name(queue_name)
        OR pgmq._features(queue_name, pgmq._policy_of(queue_name)) - 'queue_name'
        <> pgmq._features(v_any, pgmq._policy_of(v_any)) - 'queue_name'
    THEN
        RETURN false;
    END IF;
    BEGIN
        FOR v_sql IN
            SELECT replace(t.plain, v_any, pgmq._suffix(queue_name))
            FROM pgmq._templates() AS t
            WHERE t.plain IS NOT NULL
        LOOP
            EXECUTE v_sql;
        END LOOP;
    EXCEPTION WHEN invalid_function_definition OR ambiguous_function THEN
        RETURN false;       -- what was put aside has the arguments of an older version
    END;
    PERFORM pgmq._open_compiled(queue_name);
    RETURN true;
END
$$;
COMMENT ON FUNCTION pgmq._compile_new(text, oid) IS
'Create the functions of a queue that has none, if it is plain and has no policy, or return false.';

CREATE OR REPLACE FUNCTION pgmq._check_compiler(queue_name text, function regprocedure)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_owner CONSTANT regrole := pgmq._function_owner(function);
BEGIN
    IF NOT pg_has_role(v_owner, 'USAGE') THEN
        RAISE EXCEPTION 'functions of queue "%" do not belong to the owner of its table, but to %',
            queue_name, v_owner
            USING ERRCODE = 'insufficient_privilege',
                HINT = format('A superuser can SELECT pgmq.recompile(%L).', queue_name);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._check_compiler(text, regprocedure) IS
'Raise an error unless the caller may replace this function of a queue, or it is missing.';

CREATE OR REPLACE FUNCTION pgmq._compile(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET check_function_bodies = off SET quote_all_identifiers = off
AS $$
DECLARE
    v_owner oid := (
        SELECT c.relowner FROM pg_class AS c
        WHERE c.oid = format('pgmq.%I', pgmq.format_table_name(queue_name, 'q'))::regclass
    );
    v_in_script boolean := pgmq._in_extension_script();
    v_table regclass;
    v_scheduled regprocedure;
    v_difference record;
    v_function regproc;
BEGIN
    PERFORM pgmq.acquire_queue_lock(lower(queue_name));
    FOR v_table IN
        SELECT s.relid
        FROM (VALUES ('dedup'), ('lane')) AS r (role)
        CROSS JOIN pgmq._storage(pgmq._relation(r.role, _compile.queue_name)) AS s
        WHERE pgmq._owner(s.relid)::oid <> v_owner
    LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO %s', v_table, v_owner::regrole);
    END LOOP;
    -- (In an extension's script nothing but its members can be replaced.)
    v_scheduled := (SELECT f.id FROM pgmq._all_compiled('scheduled', queue_name) AS f (id));
    IF NOT v_in_script AND pgmq._function_owner(v_scheduled) <> v_owner THEN
        PERFORM pgmq._check_compiler(queue_name, v_scheduled), pgmq._schedule(queue_name);
    END IF;
    IF NOT v_in_script AND pgmq._enabled('enqueue', queue_name) IS NULL
        AND pgmq._compile_new(queue_name, v_owner)
    THEN
        RETURN;
    END IF;
    FOR v_difference IN
        SELECT
            d.template, d.sql, d.function, d.function IS NULL AS is_missing,
            d.is_stale IS NOT false AS is_stale,
            format('pgmq.%I', pgmq._function_name(d.template, _compile.queue_name)) AS function_name
        FROM pgmq._differences(_compile.queue_name) AS d
    LOOP
        PERFORM pgmq._check_create(), pgmq._check_compiler(queue_name, v_difference.function);
        -- No savepoint unless one is needed: ending it goes through all files that this transaction
        -- has created, which are tens of thousands in an upgrade.
        IF v_difference.is_missing THEN
            EXECUTE v_difference.sql;
        ELSIF v_difference.is_stale THEN
            IF v_in_script THEN
                PERFORM pgmq._enter_compiled(v_difference.template, queue_name);
            END IF;
            BEGIN
                EXECUTE v_difference.sql;
                v_function := v_difference.function_name::regproc;
            EXCEPTION WHEN invalid_function_definition OR ambiguous_function THEN
                -- An older version's has other arguments or another result.
                PERFORM pgmq._drop_compiled(v_difference.template, queue_name);
                EXECUTE v_difference.sql;
            END;
        END IF;
        v_function := v_difference.function_name::regproc;
        IF pgmq._function_owner(v_function) <> v_owner THEN
            EXECUTE format('ALTER FUNCTION %s OWNER TO %s', v_function, v_owner::regrole);
        END IF;
    END LOOP;
    PERFORM pgmq._open_compiled(queue_name);
END
$$;
COMMENT ON FUNCTION pgmq._compile(text) IS
'Render every template for this queue and its policy, and create the functions that differ.

Like the queue''s relations, they belong to the owner of the table. Safe to repeat.';
