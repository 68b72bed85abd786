CREATE OR REPLACE FUNCTION pgmq.grant_maintain(queue_name text, role_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgmq._grantee(queue_name, role_name);
    IF pgmq._has_other_rights((SELECT r.oid FROM pg_roles AS r WHERE r.rolname = role_name)) THEN
        RAISE EXCEPTION 'role "%" has rights that an owner of queues could use', role_name
            USING ERRCODE = 'invalid_grant_operation',
                HINT = 'A scheduler''s role owns nothing, and is a member of no role but pg_monitor.';
    END IF;
    PERFORM pgmq._grant_schema(role_name);
    PERFORM pgmq._schedule(queue_name);
    EXECUTE format(
        'GRANT EXECUTE ON FUNCTION pgmq.%I() TO %I',
        pgmq._function_name('scheduled', queue_name), role_name
    );
END
$$;
COMMENT ON FUNCTION pgmq.grant_maintain(text, text) IS
'Let a scheduler''s role call maintain for a queue, and nothing else.

The upkeep runs with the rights of the queue''s owner, in a function pgmq._scheduled_<queue> that
belongs to the owner and that only such roles may call. The owner could change that function. So the
role must own nothing and be a member of no role but pg_monitor, now and whenever it calls maintain,
and it should have no other rights at all. The role keeps the rights it has.

Only the owner of the queue may call this. Raises an error for anybody else, and for an unknown
queue or role.';
