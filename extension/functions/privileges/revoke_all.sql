CREATE OR REPLACE FUNCTION pgmq.revoke_all(queue_name text, role_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_on record := pgmq._grantee(queue_name, role_name);
BEGIN
    EXECUTE format('REVOKE ALL ON %s, %s FROM %I', v_on.queue, v_on.archive, role_name);
    EXECUTE format('REVOKE ALL ON SEQUENCE %s FROM %I', v_on.ids, role_name);
END
$$;
COMMENT ON FUNCTION pgmq.revoke_all(text, text) IS
'Take from a role every right to a queue and its archive that it was given, by grant_send, grant_consume, grant_monitor or GRANT. What it may do as a member of another role, or because everybody may, stays, and so do its rights to other queues. For the owner of the queue; raises an error for anybody else, and for an unknown queue or role.';
