CREATE OR REPLACE FUNCTION pgmq.grant_requeue(queue_name text, role_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_on record := pgmq._grantee(queue_name, role_name);
BEGIN
    PERFORM pgmq._refuse_stream(queue_name);
    PERFORM pgmq.grant_send(queue_name, role_name);
    -- To lock a row takes the right to update some column.
    EXECUTE format(
        'GRANT SELECT, UPDATE (archived_at), DELETE ON %s TO %I', v_on.archive, role_name
    );
END
$$;
COMMENT ON FUNCTION pgmq.grant_requeue(text, text) IS
'Let a role look into the archive of a queue, and requeue its messages.

So the role may also send to the queue, and delete from the archive. It sees nothing of the queue
but the msg_ids. The role keeps the rights it has.

Only the owner of the queue may call this. Raises an error for anybody else, for a stream, and for
an unknown queue or role.';
