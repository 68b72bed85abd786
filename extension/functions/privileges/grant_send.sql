CREATE OR REPLACE FUNCTION pgmq.grant_send(queue_name text, role_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_on record := pgmq._grantee(queue_name, role_name);
BEGIN
    PERFORM pgmq._grant_schema(role_name);
    -- The msg_id is what a send returns.
    EXECUTE format('GRANT INSERT, SELECT (msg_id) ON %s TO %I', v_on.queue, role_name);
END
$$;
COMMENT ON FUNCTION pgmq.grant_send(text, text) IS
'Let a role send to a queue.

It does not see what is in it, but for the msg_ids. Adds to the rights it has. For the owner of the queue; raises an error for anybody else, and for an unknown queue or role.';
