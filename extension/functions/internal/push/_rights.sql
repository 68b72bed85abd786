CREATE OR REPLACE FUNCTION pgmq._is_safe_to_push(queue_name text)
RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A table's owner can add triggers, and these run with the rights of anyone who writes to it.
    RETURN coalesce((
        SELECT pg_has_role(c.relowner, current_user, 'USAGE')
        FROM pg_class AS c
        WHERE c.oid = pgmq._queue_table(queue_name)
    ), false);
END
$$;
COMMENT ON FUNCTION pgmq._is_safe_to_push(text) IS
'Whether the owner of a queue has all the rights of the current user.

When messages are pushed, the current user is the extension''s owner.';

CREATE OR REPLACE FUNCTION pgmq._caller()
RETURNS name
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- SET ROLE outlasts the change to the rights of a function's owner; RESET ROLE shows the login.
    SELECT coalesce(nullif(current_setting('role'), 'none'), session_user)::name
$$;
COMMENT ON FUNCTION pgmq._caller() IS
'The caller of a function that runs with its owner''s rights: the role of SET ROLE, or the login.';

CREATE OR REPLACE FUNCTION pgmq._may_lease(role oid, queue_name text)
RETURNS boolean
LANGUAGE sql STABLE
AS $$
    -- One expression, so that it is inlined.
    SELECT pg_catalog.has_table_privilege(
            role, pgmq._queue_table(queue_name)::oid, 'SELECT'::text
        )
        AND pg_catalog.has_column_privilege(
            role, pgmq._queue_table(queue_name)::oid, 'vt'::text, 'UPDATE'::text
        )
$$;
COMMENT ON FUNCTION pgmq._may_lease(oid, text) IS
'Whether a role may lease messages of a queue; null for an unknown queue.';

CREATE OR REPLACE FUNCTION pgmq._is_filtered(role oid, queue_name text)
RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- As row_security_active(), which knows the current user alone.
    RETURN (
        SELECT c.relrowsecurity
            AND (c.relforcerowsecurity OR NOT pg_has_role(role, c.relowner, 'USAGE'))
            AND NOT EXISTS (
                SELECT FROM pg_roles AS r WHERE r.oid = role AND (r.rolsuper OR r.rolbypassrls)
            )
        FROM pg_class AS c
        WHERE c.oid = pgmq._queue_table(queue_name)
    );
END
$$;
COMMENT ON FUNCTION pgmq._is_filtered(oid, text) IS
'Whether row-level security decides which messages of a queue a role sees.

Messages are pushed with the rights of the extension''s owner, so past the policies for that role.';

CREATE OR REPLACE FUNCTION pgmq._may_be_pushed(queue_name text)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgmq._may_lease(r.oid, queue_name)
    FROM pg_roles AS r
    WHERE r.rolname = pgmq._caller()
$$;
COMMENT ON FUNCTION pgmq._may_be_pushed(text) IS
'Whether the caller may lease messages of a queue; null for an unknown queue.';
