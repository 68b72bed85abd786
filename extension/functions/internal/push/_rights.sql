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

CREATE OR REPLACE FUNCTION pgmq._may_be_pushed(queue_name text)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT has_table_privilege(c.name, q.oid, 'SELECT')
        AND has_column_privilege(c.name, q.oid, 'vt', 'UPDATE')
    FROM (
        SELECT pgmq._queue_table(queue_name)::oid AS oid
    ) AS q
    CROSS JOIN pgmq._caller() AS c (name)
$$;
COMMENT ON FUNCTION pgmq._may_be_pushed(text) IS
'Whether the caller may lease messages of a queue; null for an unknown queue.';
