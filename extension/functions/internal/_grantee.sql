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
    PERFORM pgmq._role(role_name);
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

Raises an error for an unknown queue or role, or when the caller is not the owner.';

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

CREATE OR REPLACE FUNCTION pgmq._owns_schema()
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pg_has_role(n.nspowner, 'USAGE') FROM pg_namespace AS n WHERE n.nspname = 'pgmq'
$$;
COMMENT ON FUNCTION pgmq._owns_schema() IS
'Whether the caller owns the schema, and so decides who may use it.';

CREATE OR REPLACE FUNCTION pgmq._granted(role oid)
RETURNS TABLE (
    relation regclass,
    routine regprocedure,
    type regtype,
    is_sequence boolean,
    owner oid
)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT DISTINCT
        c.oid::regclass, p.oid::regprocedure, t.oid::regtype, c.relkind = 'S',
        coalesce(c.relowner, p.proowner, t.typowner)
    FROM pg_shdepend AS d
    LEFT JOIN pg_class AS c ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
    LEFT JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
    LEFT JOIN pg_type AS t ON d.classid = 'pg_type'::regclass AND d.objid = t.oid
    WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = role AND d.deptype = 'a'
        AND d.dbid = (SELECT b.oid FROM pg_database AS b WHERE b.datname = current_database())
        AND 'pgmq'::regnamespace IN (c.relnamespace, p.pronamespace, t.typnamespace)
$$;
COMMENT ON FUNCTION pgmq._granted(oid) IS
'The objects in the schema that a role has been given rights to, and does not own.';

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
    IF pgmq._owns_schema()
        AND NOT EXISTS (SELECT FROM pgmq._granted(v_role))
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
        EXECUTE format('REVOKE USAGE ON SCHEMA pgmq FROM %I', role_name);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._revoke_schema(text) IS
'Take from a role the use of the schema, unless it has another right there that needs it.';
