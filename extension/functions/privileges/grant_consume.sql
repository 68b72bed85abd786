CREATE OR REPLACE FUNCTION pgmq.grant_consume(queue_name text, role_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_on record := pgmq._grantee(queue_name, role_name);
BEGIN
    PERFORM pgmq._refuse_stream(queue_name);
    PERFORM pgmq._grant_schema(role_name);
    EXECUTE format(
        'GRANT SELECT, UPDATE (read_ct, last_read_at, vt, headers), DELETE ON %s TO %I',
        v_on.queue, role_name
    );
    EXECUTE format('GRANT INSERT, SELECT (msg_id) ON %s TO %I', v_on.archive, role_name);
    EXECUTE format('GRANT SELECT ON SEQUENCE %s TO %I', v_on.ids, role_name);
END
$$;
COMMENT ON FUNCTION pgmq.grant_consume(text, text) IS
'Let a role read a queue, acknowledge, return, delete and archive its messages, see its metrics.

The role may not send, change payloads, look into the archive, purge or drop the queue. (It can
delete every message one by one: that is what consuming means.) The role keeps the rights it has.

Only the owner of the queue may call this. Raises an error for anybody else, and for an unknown
queue or role.';
