-- Whose code may run. The owner of a queue can change its tables and functions: add a trigger,
-- replace a table by a view, rewrite a function. That code runs with the rights of anyone who
-- touches the queue, and RESET ROLE gives it the rights of the login. So these functions ask who
-- owns the queue, never what its tables and functions contain, which may change meanwhile.
CREATE OR REPLACE FUNCTION pgmq._is_powerful(role oid)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM pg_roles AS r
        WHERE (
                r.rolsuper OR r.rolcreaterole OR r.rolreplication OR r.rolbypassrls
                OR r.rolname IN (
                    'pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files',
                    'pg_read_all_data', 'pg_write_all_data'
                )
            )
            AND pg_has_role(role, r.oid, 'MEMBER')
    )
$$;
COMMENT ON FUNCTION pgmq._is_powerful(oid) IS
'Whether a role has, or can take, rights to what others own: superusers and roles with such powers.';

-- grant_maintain() lets a scheduler call a function that belongs to the queue's owner. The owner
-- may have changed it, so a scheduler must have no rights that the function could abuse.
CREATE OR REPLACE FUNCTION pgmq._has_other_rights(role oid)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgmq._is_powerful(role)
        OR EXISTS (
            SELECT FROM pg_shdepend AS d
            WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = role AND d.deptype = 'o'
        )
        OR EXISTS (
            SELECT FROM pg_auth_members AS m
            WHERE m.member = role AND m.roleid <> 'pg_monitor'::regrole
        )
$$;
COMMENT ON FUNCTION pgmq._has_other_rights(oid) IS
'Whether a role owns anything, or is a member of another role than pg_monitor.';

CREATE OR REPLACE FUNCTION pgmq._callers()
RETURNS SETOF oid
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.oid FROM pg_roles AS r WHERE r.rolname IN (current_user, session_user)
$$;
COMMENT ON FUNCTION pgmq._callers() IS 'The current role, and the login that RESET ROLE goes back to.';

CREATE OR REPLACE FUNCTION pgmq._owns_schema()
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pg_has_role(n.nspowner, 'USAGE') FROM pg_namespace AS n WHERE n.nspname = 'pgmq'
$$;
COMMENT ON FUNCTION pgmq._owns_schema() IS
'Whether the caller owns the schema, and so decides who may use it.';

CREATE OR REPLACE FUNCTION pgmq._owners(queue_name text)
RETURNS SETOF oid
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_policy CONSTANT pgmq.policy := pgmq._policy_of(queue_name);
    v_tables CONSTANT regclass[] := ARRAY(
        SELECT to_regclass(format('pgmq.%I', r.name))
        FROM pgmq._relations(queue_name) AS r
        WHERE r.kind = 'table'
        UNION ALL
        SELECT pgmq._queue_table(v_policy.dead_letter_queue)
        WHERE v_policy.dead_letter_queue IS NOT NULL
    );
BEGIN
    RETURN QUERY
        SELECT pgmq._owner(t.id)::oid FROM unnest(v_tables) AS t (id) WHERE t.id IS NOT NULL
        UNION
        SELECT pgmq._owner(p.relid)::oid
        FROM unnest(v_tables) AS t (id)
        CROSS JOIN pg_partition_tree(t.id) AS p
        UNION
        SELECT p.proowner
        FROM pg_proc AS p
        WHERE p.pronamespace = 'pgmq'::regnamespace
            AND p.proname = ANY (pgmq._function_names(queue_name));
END
$$;
COMMENT ON FUNCTION pgmq._owners(text) IS
'The owners of a queue''s tables, partitions and functions: usually one.

And of the queue that takes its dead letters.';

CREATE OR REPLACE FUNCTION pgmq._unsafe_owner(queue_name text)
RETURNS regrole
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT o.id::regrole
    FROM pgmq._owners(queue_name) AS o (id)
    CROSS JOIN pgmq._callers() AS c (id)
    WHERE NOT (
        pg_has_role(current_user, o.id, 'USAGE')
        AND (pg_has_role(o.id, c.id, 'USAGE') OR NOT pgmq._is_powerful(c.id))
    )
    ORDER BY 1
    LIMIT 1
$$;
COMMENT ON FUNCTION pgmq._unsafe_owner(text) IS
'An owner because of whom the caller cannot, or must not, act like the owner of this queue.

The caller cannot if it has not the rights of that owner. The caller must not if it, or its login,
is a superuser or has such powers, and that owner has not: code of the owner would run with these
rights. Null if there is no such owner.';

CREATE OR REPLACE FUNCTION pgmq._powerful_callers()
RETURNS oid[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ARRAY(SELECT c.id FROM pgmq._callers() AS c (id) WHERE pgmq._is_powerful(c.id))
$$;
COMMENT ON FUNCTION pgmq._powerful_callers() IS
'The current role and the login, if they are superusers or have such powers.';

CREATE OR REPLACE FUNCTION pgmq._is_safe_to_touch(queue regclass, callers oid[])
RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_table record;
BEGIN
    IF callers = '{}' THEN
        RETURN true;
    END IF;
    SELECT c.relkind, c.relowner INTO v_table FROM pg_class AS c WHERE c.oid = queue;
    IF v_table.relkind <> 'p' THEN
        RETURN (
            SELECT bool_and(pg_has_role(v_table.relowner, c.id, 'USAGE'))
            FROM unnest(callers) AS c (id)
        );
    END IF;
    RETURN NOT EXISTS (
        SELECT
        FROM unnest(callers) AS c (id)
        CROSS JOIN (
            SELECT queue AS id
            UNION
            SELECT p.relid FROM pg_partition_tree(queue) AS p
        ) AS t
        -- Not a join: that might read the whole catalog.
        WHERE NOT pg_has_role(
            (SELECT r.relowner FROM pg_class AS r WHERE r.oid = t.id), c.id, 'USAGE'
        )
    );
END
$$;
COMMENT ON FUNCTION pgmq._is_safe_to_touch(regclass, oid[]) IS
'What _is_safe_to_touch(queue) says, for callers that ask for many tables.';

CREATE OR REPLACE FUNCTION pgmq._is_safe_to_touch(queue regclass)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgmq._is_safe_to_touch(queue, pgmq._powerful_callers())
$$;
COMMENT ON FUNCTION pgmq._is_safe_to_touch(regclass) IS
'Whether a table that the caller has not named may be read or written on the caller''s behalf.

False if the caller is a superuser, or has such powers, and somebody less powerful owns the table:
even planning a SELECT may run code that the owner has put into an index. Other callers have their
rights from the owner.';

CREATE OR REPLACE FUNCTION pgmq._can_be_used()
RETURNS boolean
LANGUAGE sql STABLE
AS $$
    -- Superusers are members of every role. This looks into no table.
    SELECT pg_catalog.pg_has_role(current_user, 'pg_write_server_files'::name, 'MEMBER'::text)
        OR pg_catalog.pg_has_role(session_user, 'pg_write_server_files'::name, 'MEMBER'::text)
$$;
COMMENT ON FUNCTION pgmq._can_be_used() IS
'Whether the caller, or its login, is a superuser or has such powers.

A quick check before a thorough one.';

CREATE OR REPLACE FUNCTION pgmq._check_routes(queue_names text[])
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_name text;
    v_owner regrole;
BEGIN
    SELECT u.queue_name, o.id INTO v_name, v_owner
    FROM unnest(queue_names) AS u (queue_name)
    CROSS JOIN pgmq._owners(u.queue_name) AS o (id)
    CROSS JOIN pgmq._callers() AS c (id)
    WHERE pgmq._is_powerful(c.id) AND NOT pg_has_role(o.id, c.id, 'USAGE')
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'queue "%", which this leads to, is not safe for a superuser to send to',
            v_name
            USING ERRCODE = 'insufficient_privilege',
                HINT = format(
                    'What %s, its owner, has put there would run with your rights.'
                    ' Publish as a role that can do little else.', v_owner
                );
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._check_routes(text[]) IS
'Raise an error if bindings would let a superuser run code of a queue''s owner.

Bindings are not the caller''s choice.';

CREATE OR REPLACE FUNCTION pgmq._warn_of_others(action text, queue_names text[], hint text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF cardinality(queue_names) > 0 THEN
        RAISE WARNING '% leaves out queues of other owners: %',
            action, array_to_string(queue_names, ', ')
            USING HINT = hint;
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._warn_of_others(text, text[], text) IS
'Warn which queues a function for all queues has left out because of their owners, if any.';
