CREATE OR REPLACE FUNCTION pgmq._role(role_name text)
RETURNS oid
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_role oid := (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = role_name);
BEGIN
    IF role_name IS NULL THEN
        PERFORM pgmq._raise_null('role name', 'Name a role; pg_roles has those there are.');
    END IF;
    IF v_role IS NULL THEN
        RAISE EXCEPTION 'role "%" does not exist', role_name
            USING ERRCODE = 'undefined_object',
                HINT = 'Give its name as pg_roles has it: without quotes, and in its own case.';
    END IF;
    RETURN v_role;
END
$$;
COMMENT ON FUNCTION pgmq._role(text) IS 'A role that rights are given to or taken from; raise an error for an unknown one.';

-- grant_...() and revoke_all() begin with this. Without it, a GRANT by anybody but the owner would
-- only raise a warning.
CREATE OR REPLACE FUNCTION pgmq._grantee(
    queue_name text,
    role_name text,
    OUT queue regclass,
    OUT archive regclass,
    OUT ids regclass
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_owner regrole;
BEGIN
    PERFORM pgmq._compiled('enqueue', queue_name);     -- an unknown queue is an error
    PERFORM pgmq._lock_queue(queue_name), pgmq._role(role_name);
    queue := format('pgmq.%I', pgmq.format_table_name(queue_name, 'q'))::regclass;
    archive := pgmq._queue_table(queue_name, true);     -- null for a stream
    ids := pg_get_serial_sequence(queue::text, 'msg_id')::regclass;
    v_owner := pgmq._owner(queue);
    IF NOT pg_has_role(v_owner, 'USAGE') THEN
        RAISE EXCEPTION 'only the owner of queue "%" decides who may use it', queue_name
            USING ERRCODE = 'insufficient_privilege',
                HINT = format('That is role %s.', v_owner);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._grantee(text, text) IS
'The relations of a queue whose rights are about to change.

It holds the queue''s lock. Raises an error for an unknown queue or role, or when the caller is not
the owner.';

CREATE OR REPLACE FUNCTION pgmq._grant_schema(role_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = error
AS $$
BEGIN
    IF NOT has_schema_privilege(role_name, 'pgmq', 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA pgmq TO %I', role_name);
    END IF;
    IF NOT has_schema_privilege(role_name, 'pgmq', 'USAGE') THEN
        RAISE EXCEPTION 'role "%" may not use the schema pgmq', role_name
            USING ERRCODE = 'insufficient_privilege',
                HINT = format(
                    'The owner of the schema must GRANT USAGE ON SCHEMA pgmq TO %I first.',
                    role_name
                );
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._grant_schema(text) IS
'Let a role use the schema; without that, rights to a queue are of no use.';

CREATE OR REPLACE FUNCTION pgmq._object(relation oid)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('%s %s', CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, c.oid::regclass)
    FROM pg_class AS c
    WHERE c.oid = relation
$$;
COMMENT ON FUNCTION pgmq._object(oid) IS 'A table or sequence, as GRANT and REVOKE call it.';

CREATE OR REPLACE FUNCTION pgmq._granted(role oid)
RETURNS TABLE (object text, revocation text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT DISTINCT
        o.name,
        CASE
            WHEN o.kind IS NULL THEN format('REVOKE ALL ON %s FROM %s', o.name, role::regrole)
            ELSE format(
                'ALTER DEFAULT PRIVILEGES FOR ROLE %s IN SCHEMA pgmq REVOKE ALL ON %s FROM %s',
                o.owner, o.kind, role::regrole
            )
        END
    FROM pg_shdepend AS d
    CROSS JOIN LATERAL (
        SELECT pgmq._object(c.oid) AS name, c.relnamespace AS namespace, null AS owner, null AS kind
        FROM pg_class AS c
        WHERE d.classid = 'pg_class'::regclass AND c.oid = d.objid
        UNION ALL
        SELECT format('routine %s', p.oid::regprocedure), p.pronamespace, null, null
        FROM pg_proc AS p
        WHERE d.classid = 'pg_proc'::regclass AND p.oid = d.objid
        UNION ALL
        SELECT format('type %s', t.oid::regtype), t.typnamespace, null, null
        FROM pg_type AS t
        WHERE d.classid = 'pg_type'::regclass AND t.oid = d.objid
        UNION ALL
        SELECT 'schema pgmq', d.objid, null, null
        WHERE d.classid = 'pg_namespace'::regclass
        UNION ALL
        SELECT
            format('default privileges of %s', a.defaclrole::regrole), a.defaclnamespace,
            a.defaclrole::regrole::text,
            CASE a.defaclobjtype
                WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'ROUTINES'
                ELSE 'TYPES'
            END
        FROM pg_default_acl AS a
        WHERE d.classid = 'pg_default_acl'::regclass AND a.oid = d.objid
    ) AS o
    WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = role AND d.deptype = 'a'
        AND d.dbid = (SELECT b.oid FROM pg_database AS b WHERE b.datname = current_database())
        AND o.namespace = 'pgmq'::regnamespace
$$;
COMMENT ON FUNCTION pgmq._granted(oid) IS
'The objects in the schema that a role has been given rights to, and what takes these from it.

What it owns is not among them. Nothing is known of the roles that Postgres itself has: see
_is_known().';

CREATE OR REPLACE FUNCTION pgmq._granted_of(queue_name text, role oid)
RETURNS TABLE (object text, revocation text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- By the privileges themselves, which are there for every role.
    SELECT o.name, format('REVOKE ALL ON %s FROM %s', o.name, role::regrole)
    FROM (
        SELECT pgmq._object(c.oid) AS name
        FROM pg_class AS c
        WHERE c.oid IN (
            SELECT to_regclass(format('pgmq.%I', r.name)) FROM pgmq._relations(queue_name) AS r
            UNION ALL
            SELECT to_regclass(format('pgmq.%I', pgmq._ids_name(queue_name)))
        )
            AND c.relowner <> role
            AND (
                EXISTS (SELECT FROM aclexplode(c.relacl) AS a WHERE a.grantee = role)
                OR EXISTS (
                    SELECT
                    FROM pg_attribute AS t
                    CROSS JOIN aclexplode(t.attacl) AS a
                    WHERE t.attrelid = c.oid AND a.grantee = role
                )
            )
        UNION ALL
        SELECT format('routine %s', p.oid::regprocedure)
        FROM pgmq._all_compiled('scheduled', queue_name) AS f (id)
        INNER JOIN pg_proc AS p ON f.id = p.oid
        CROSS JOIN aclexplode(p.proacl) AS a
        WHERE a.grantee = role AND p.proowner <> role
    ) AS o
$$;
COMMENT ON FUNCTION pgmq._granted_of(text, oid) IS
'What _granted() says of the relations of a queue, and of the function that schedulers call.';

CREATE OR REPLACE FUNCTION pgmq._is_known(role oid)
RETURNS boolean
LANGUAGE sql IMMUTABLE
AS $$
    -- Ids from this one on are given to what is created after initdb.
    SELECT role >= 16384::oid
$$;
COMMENT ON FUNCTION pgmq._is_known(oid) IS
'Whether dependencies tell what a role was given; not of pg_monitor and others that Postgres has.';

CREATE OR REPLACE FUNCTION pgmq._for_creators()
RETURNS TABLE (object text, privileges text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'schema pgmq', 'USAGE, CREATE'
    UNION ALL
    SELECT pgmq._object(r.id), r.privileges
    FROM (
        VALUES
            ('pgmq.meta'::regclass, 'SELECT, INSERT, DELETE'),
            ('pgmq.policy', 'SELECT, INSERT, DELETE'),
            ('pgmq.paused', 'SELECT, INSERT, DELETE'),
            ('pgmq.topic_bindings', 'SELECT, INSERT, DELETE'),
            ('pgmq.exchange', 'SELECT, INSERT, DELETE'),
            ('pgmq.binding', 'SELECT, INSERT, DELETE'),
            ('pgmq.partitioning', 'SELECT, INSERT, UPDATE, DELETE'),
            ('pgmq.stream_group', 'SELECT, INSERT, UPDATE, DELETE'),
            ('pgmq.stream_segment', 'SELECT, INSERT, UPDATE, DELETE'),
            ('pgmq.schedule', 'SELECT, INSERT, UPDATE, DELETE'),
            ('pgmq.tending', 'SELECT, INSERT')
    ) AS r (id, privileges)
$$;
COMMENT ON FUNCTION pgmq._for_creators() IS
'What grant_create() gives: the rights that a role needs to create queues, and for those it has.';

CREATE OR REPLACE FUNCTION pgmq._revoke(revocation text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = error
AS $$
BEGIN
    EXECUTE revocation;
EXCEPTION WHEN insufficient_privilege OR dependent_objects_still_exist THEN
    null;
END
$$;
COMMENT ON FUNCTION pgmq._revoke(text) IS
'Run a REVOKE as far as the caller can; _warn_of_kept() says what was not taken.';

CREATE OR REPLACE FUNCTION pgmq._warn_of_kept(role_name text, objects text[])
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF cardinality(objects) > 0 THEN
        RAISE WARNING 'role "%" keeps rights that others have given to it, or that it has passed on: %',
            role_name, array_to_string(objects, ', ')
            USING HINT = 'Who has given them can take them,'
                ' after they were taken from the roles that have them from this one.';
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._warn_of_kept(text, text[]) IS
'Warn what a role could not be deprived of, if anything.';

CREATE OR REPLACE FUNCTION pgmq._copy_grants(source regclass, target regclass)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_grant record;
BEGIN
    FOR v_grant IN
        SELECT
            lower(a.privilege_type) AS privilege, s.part, coalesce(r.rolname, 'public') AS grantee,
            a.is_grantable
        FROM (
            SELECT null AS part, c.relacl AS acl FROM pg_class AS c WHERE c.oid = source
            UNION ALL
            SELECT o.attname, o.attacl
            FROM pg_attribute AS o
            INNER JOIN pg_attribute AS n ON o.attname = n.attname       -- also ctid and its like
            WHERE o.attrelid = source AND n.attrelid = target
        ) AS s
        CROSS JOIN aclexplode(s.acl) AS a
        LEFT JOIN pg_roles AS r ON a.grantee = r.oid
        WHERE a.grantee <> pgmq._owner(source)::oid
    LOOP
        EXECUTE format(
            'GRANT %I %s ON %s TO %I %s', v_grant.privilege,
            CASE WHEN v_grant.part IS NOT NULL THEN format('(%I)', v_grant.part) END,
            target, v_grant.grantee,
            CASE WHEN v_grant.is_grantable THEN 'WITH GRANT OPTION' END
        );
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._copy_grants(regclass, regclass) IS
'Give everybody the rights to a relation, and to its columns, that they have to another one.';

CREATE OR REPLACE FUNCTION pgmq._revoke_schema(role_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_role CONSTANT oid := pgmq._role(role_name);
BEGIN
    -- grant_create() gives the use of the schema, too; then it stays.
    IF pgmq._is_known(v_role)
        AND NOT EXISTS (
            SELECT FROM pgmq._granted(v_role) AS g WHERE g.object <> 'schema pgmq'
        )
        AND NOT EXISTS (
            SELECT
            FROM pg_namespace AS n
            CROSS JOIN aclexplode(n.nspacl) AS a
            WHERE n.nspname = 'pgmq' AND a.grantee = v_role
                AND a.privilege_type = 'CREATE'
        )
        AND NOT EXISTS (
            SELECT FROM pg_class AS c
            WHERE c.relnamespace = 'pgmq'::regnamespace AND c.relowner = v_role
        )
    THEN
        PERFORM pgmq._revoke(format('REVOKE USAGE ON SCHEMA pgmq FROM %I', role_name));
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._revoke_schema(text) IS
'Take from a role the use of the schema, unless it has another right there that needs it.';
