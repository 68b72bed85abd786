CREATE OR REPLACE FUNCTION pgmq.grant_monitor(queue_name text, role_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_on record := pgmq._grantee(queue_name, role_name);
BEGIN
    PERFORM pgmq._grant_schema(role_name);
    IF pgmq._is_stream(v_on.queue) THEN
        EXECUTE format(
            'GRANT SELECT (ctid, msg_id, enqueued_at, key_hash) ON %s TO %I', v_on.queue,
            role_name
        );
        EXECUTE format(
            'GRANT SELECT ON pgmq.%I TO %I', pgmq._relation_name('lane', queue_name), role_name
        );
        PERFORM pgmq._show_lanes(queue_name, role_name, null);
    ELSE
        EXECUTE format(
            'GRANT SELECT (ctid, msg_id, read_ct, enqueued_at, last_read_at, vt) ON %s TO %I',
            v_on.queue, role_name
        );
        EXECUTE format(
            'GRANT SELECT (ctid, msg_id, enqueued_at, archived_at) ON %s TO %I',
            v_on.archive, role_name
        );
    END IF;
    EXECUTE format('GRANT SELECT ON SEQUENCE %s TO %I', v_on.ids, role_name);
END
$$;
COMMENT ON FUNCTION pgmq.grant_monitor(text, text) IS
'Let a role see the metrics of a queue, but no message and no headers.

Members of pg_monitor may do so for every queue. The role keeps the rights it has.

Only the owner of the queue may call this. Raises an error for anybody else, and for an unknown
queue or role.';
