CREATE OR REPLACE FUNCTION pgmq.revoke_all(queue_name text, role_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_on record := pgmq._grantee(queue_name, role_name);
    v_role CONSTANT oid := pgmq._role(role_name);
    v_relation regclass;
    v_is_sequence boolean;
    v_scheduled regprocedure;
BEGIN
    FOR v_relation, v_is_sequence IN
        -- By the privileges themselves: of roles that the server has from the beginning, such as
        -- pg_monitor, no dependency tells.
        SELECT c.oid, c.relkind = 'S'
        FROM pg_class AS c
        WHERE c.oid IN (
            SELECT to_regclass(format('pgmq.%I', r.name)) FROM pgmq._relations(queue_name) AS r
            UNION ALL
            SELECT v_on.ids
        )
            AND (
                EXISTS (SELECT FROM aclexplode(c.relacl) AS a WHERE a.grantee = v_role)
                OR EXISTS (
                    SELECT
                    FROM pg_attribute AS t
                    CROSS JOIN aclexplode(t.attacl) AS a
                    WHERE t.attrelid = c.oid AND a.grantee = v_role
                )
            )
    LOOP
        EXECUTE format(
            'REVOKE ALL ON %s %s FROM %I',
            CASE WHEN v_is_sequence THEN 'SEQUENCE' END, v_relation, role_name
        );
    END LOOP;
    PERFORM pgmq._hide_lanes(queue_name, role_name);
    FOR v_scheduled IN SELECT f FROM pgmq._all_compiled('scheduled', queue_name) AS f LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM %I', v_scheduled, role_name);
    END LOOP;
    PERFORM pgmq._revoke_schema(role_name);
END
$$;
COMMENT ON FUNCTION pgmq.revoke_all(text, text) IS
'Take from a role every right to a queue and its archive that it was given.

These are the rights from grant_send, grant_consume, grant_requeue, grant_fetch, grant_monitor,
grant_maintain and GRANT. If they were the role''s last ones in the schema pgmq, and the caller owns
the schema, the role loses the use of the schema as well. The role keeps its rights to other queues,
and what it may do as a member of another role or because everybody may.

Only the owner of the queue may call this. Raises an error for anybody else, and for an unknown
queue or role.';

CREATE OR REPLACE FUNCTION pgmq.revoke_all(role_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_role oid := pgmq._role(role_name);
    v_relation regclass;
    v_routine regprocedure;
    v_type regtype;
    v_is_sequence boolean;
    v_owner oid;
    v_left text[] := '{}'::text[];
BEGIN
    PERFORM pgmq._hide_lanes(m.queue_name, role_name)
    FROM pgmq.meta AS m
    WHERE pgmq._is_stream(pgmq._queue_table(m.queue_name))
        AND pg_has_role(pgmq._owner(pgmq._queue_table(m.queue_name)), 'USAGE');
    FOR v_relation, v_routine, v_type, v_is_sequence, v_owner IN
        SELECT g.* FROM pgmq._granted(v_role) AS g
    LOOP
        IF NOT pg_has_role(v_owner, 'USAGE') THEN
            v_left := v_left || coalesce(v_relation::text, v_routine::text, v_type::text);
        ELSIF v_is_sequence THEN
            EXECUTE format('REVOKE ALL ON SEQUENCE %s FROM %I', v_relation, role_name);
        ELSIF v_relation IS NOT NULL THEN
            EXECUTE format('REVOKE ALL ON %s FROM %I', v_relation, role_name);
        ELSIF v_routine IS NOT NULL THEN
            EXECUTE format('REVOKE ALL ON ROUTINE %s FROM %I', v_routine, role_name);
        ELSE
            EXECUTE format('REVOKE ALL ON TYPE %s FROM %I', v_type, role_name);
        END IF;
    END LOOP;
    IF pgmq._owns_schema() THEN
        EXECUTE format('REVOKE ALL ON SCHEMA pgmq FROM %I', role_name);
    ELSE
        v_left := v_left || 'schema pgmq'::text;
    END IF;
    IF cardinality(v_left) > 0 THEN
        RAISE WARNING 'role "%" keeps rights that others have given to it: %',
            role_name, array_to_string(v_left, ', ')
            USING HINT = 'Their owners, or a superuser, can take them.';
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq.revoke_all(text) IS
'Take from a role every right in the schema pgmq that it was given.

These are the rights from any of the grants, grant_create too, and from GRANT. Afterwards nothing in
the schema keeps the role from being dropped, with two exceptions. Rights to what the caller does
not own stay, and a warning names them. The role''s own queues stay as well: see drop_queue. Raises
an error for an unknown role.';
