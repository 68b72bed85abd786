CREATE OR REPLACE FUNCTION pgmq.grant_create(role_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_right record;
BEGIN
    PERFORM pgmq._role(role_name);      -- an unknown role is an error
    IF NOT pgmq._owns_schema() THEN
        RAISE EXCEPTION 'only the owner of schema pgmq decides who may create queues'
            USING ERRCODE = 'insufficient_privilege',
                HINT = format('That is role %s.', (
                    SELECT n.nspowner::regrole FROM pg_namespace AS n WHERE n.nspname = 'pgmq'
                ));
    END IF;
    FOR v_right IN SELECT c.* FROM pgmq._for_creators() AS c LOOP
        EXECUTE format('GRANT %s ON %s TO %I', v_right.privileges, v_right.object, role_name);
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq.grant_create(text) IS
'Let a role create queues of every kind, and do everything with its own queues.

That includes policies, indexes, notifications, bindings, schedules, grants, maintain and drop. The
role can also create and drop exchanges, and change bindings. (If pg_partman is installed,
partitioned queues need that extension''s grants, too.)

The role must be trusted with all queues. A role that may create anything in the schema pgmq could
put functions there that others would call. It may also write to the tables that list queues,
bindings and schedules.

Only the owner of the schema may call this. Raises an error for anybody else, and for an unknown
role.';
