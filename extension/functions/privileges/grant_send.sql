CREATE OR REPLACE FUNCTION pgmq.grant_send(queue_name text, role_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_on record := pgmq._grantee(queue_name, role_name);
BEGIN
    PERFORM pgmq._grant_schema(role_name);
    -- A send returns the msg_id, which needs SELECT on that column.
    EXECUTE format('GRANT INSERT, SELECT (msg_id) ON %s TO %I', v_on.queue, role_name);
END
$$;
COMMENT ON FUNCTION pgmq.grant_send(text, text) IS
'Let a role send to a queue.

The role sees nothing of the queue but the msg_ids. The role keeps the rights it has.

Only the owner of the queue may call this. Raises an error for anybody else, and for an unknown
queue or role.';
