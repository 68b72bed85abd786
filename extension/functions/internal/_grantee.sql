-- What grant_...() and revoke_all() begin with. GRANT by somebody else than the owner would be a
-- mere warning.
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
    v_owner oid;
BEGIN
    PERFORM pgmq._compiled('read', queue_name);     -- an unknown queue is an error
    IF role_name IS NULL THEN
        PERFORM pgmq._raise_null('role name', 'Name a role; pg_roles has those there are.');
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = role_name) THEN
        RAISE EXCEPTION 'role "%" does not exist', role_name
            USING ERRCODE = 'undefined_object',
                HINT = 'Give its name as pg_roles has it: without quotes, and in its own case.';
    END IF;
    queue := format('pgmq.%I', pgmq.format_table_name(queue_name, 'q'))::regclass;
    archive := format('pgmq.%I', pgmq.format_table_name(queue_name, 'a'))::regclass;
    ids := pg_get_serial_sequence(queue::text, 'msg_id')::regclass;
    v_owner := (SELECT c.relowner FROM pg_class AS c WHERE c.oid = queue);
    IF NOT pg_has_role(v_owner, 'USAGE') THEN
        RAISE EXCEPTION 'only the owner of queue "%" decides who may use it', queue_name
            USING ERRCODE = 'insufficient_privilege',
                HINT = format('That is role %s.', v_owner::regrole);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._grantee(text, text) IS
'The relations of a queue whose rights are about to change; raise an error for an unknown queue or role, or when the caller is not the owner.';

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
'Let a role use the schema, without which no right to a queue is of any use.';
