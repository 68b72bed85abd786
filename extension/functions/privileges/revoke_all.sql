CREATE OR REPLACE FUNCTION pgmq.revoke_all(queue_name text, role_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_on record := pgmq._grantee(queue_name, role_name);
    v_role CONSTANT oid := pgmq._role(role_name);
BEGIN
    IF pgmq._owner(v_on.queue)::oid = v_role THEN
        RAISE WARNING 'role "%" keeps its rights to queue "%", which it owns', role_name, queue_name
            USING HINT = 'It could give them back to itself.';
        RETURN;
    END IF;
    PERFORM pgmq._revoke(g.revocation)
    FROM pgmq._granted_of(queue_name, v_role) AS g;
    PERFORM pgmq._hide_lanes(queue_name, role_name);
    PERFORM pgmq._revoke_schema(role_name);
    PERFORM pgmq._warn_of_kept(
        role_name, ARRAY(SELECT g.object FROM pgmq._granted_of(queue_name, v_role) AS g)
    );
END
$$;
COMMENT ON FUNCTION pgmq.revoke_all(text, text) IS
'Take from a role every right to a queue and its archive that it was given.

These are the rights from grant_send, grant_consume, grant_requeue, grant_fetch, grant_monitor,
grant_maintain and GRANT. If they were the role''s last ones in the schema pgmq, and the caller has
given it the use of the schema, the role loses that as well. The role keeps its rights to other
queues, and what it may do as a member of another role or because everybody may.

A warning names what stays: rights that another role with grant option has given to this one, and
those that this one has passed on to others. The owner of the queue keeps all of its rights, with a
warning.

Only the owner of the queue may call this. Raises an error for anybody else, and for an unknown
queue or role.';

CREATE OR REPLACE FUNCTION pgmq.revoke_all(role_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_role CONSTANT oid := pgmq._role(role_name);
    v_own CONSTANT text[] := ARRAY(
        SELECT m.queue_name FROM pgmq.meta AS m
        WHERE pgmq._owner(pgmq._queue_table(m.queue_name))::oid = v_role
        ORDER BY m.queue_name
    );
    -- The functions of a queue run with its owner's rights.
    v_needed CONSTANT text[] := CASE
        WHEN v_own = '{}' THEN '{}'
        ELSE ARRAY(
            SELECT c.object FROM pgmq._for_creators() AS c
            UNION
            SELECT g.object FROM pgmq._granted(v_role) AS g WHERE g.object ~ '^(routine|type) '
        )
    END;
BEGIN
    IF NOT pgmq._is_known(v_role) THEN
        RAISE EXCEPTION 'what role "%" may do in the schema pgmq is not known', role_name
            USING ERRCODE = 'feature_not_supported',
                HINT = 'Postgres keeps no account of the roles that it has itself:'
                    ' name a queue, or use REVOKE.';
    END IF;
    PERFORM pgmq._hide_lanes(m.queue_name, role_name)
    FROM pgmq.meta AS m
    WHERE pgmq._is_stream(pgmq._queue_table(m.queue_name))
        AND pg_has_role(pgmq._owner(pgmq._queue_table(m.queue_name)), 'USAGE');
    PERFORM pgmq._revoke(g.revocation)
    FROM pgmq._granted(v_role) AS g
    WHERE g.object <> ALL (v_needed);
    IF v_own <> '{}' THEN
        RAISE WARNING 'role "%" owns queues, and keeps the rights that these need: %',
            role_name, array_to_string(v_own, ', ')
            USING HINT = 'Drop them, or let another role own them, and call this again.';
    END IF;
    PERFORM pgmq._warn_of_kept(role_name, ARRAY(
        SELECT g.object FROM pgmq._granted(v_role) AS g WHERE g.object <> ALL (v_needed)
    ));
END
$$;
COMMENT ON FUNCTION pgmq.revoke_all(text) IS
'Take from a role every right in the schema pgmq that it was given.

These are the rights from any of the grants, grant_create too, from GRANT, and from default
privileges in the schema. Afterwards nothing in the schema keeps the role from being dropped, with
two exceptions, and a warning names each. Rights that others gave it stay, and what it has passed on
to others. A role that owns queues keeps these, and what grant_create gives, for they need it: see
drop_queue. Raises an error for an unknown role, and for the roles that Postgres itself has.';
