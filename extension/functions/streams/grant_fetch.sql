CREATE OR REPLACE FUNCTION pgmq.grant_fetch(stream_name text, group_name text, role_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_stream CONSTANT text := pgmq._stream_name(stream_name);
    v_on record := pgmq._grantee(v_stream, role_name);
    v_lane CONSTANT text := format('pgmq.%I', pgmq._relation_name('lane', v_stream));
BEGIN
    PERFORM pgmq._existing_group(v_stream, group_name);
    PERFORM pgmq._grant_schema(role_name);
    EXECUTE format('GRANT SELECT ON %s TO %I', v_on.queue, role_name);
    EXECUTE format('GRANT SELECT ON SEQUENCE %s TO %I', v_on.ids, role_name);
    -- Rows are locked, which takes the right to update a column.
    EXECUTE format('GRANT SELECT, INSERT, DELETE, UPDATE (vt) ON %s TO %I', v_lane, role_name);
    EXECUTE format(
        'GRANT USAGE ON SEQUENCE pgmq.%I TO %I', pgmq._relation_name('epoch', v_stream), role_name
    );
    PERFORM pgmq._show_lanes(v_stream, role_name, group_name);
END
$$;
COMMENT ON FUNCTION pgmq.grant_fetch(text, text, text) IS
'Let a role read a stream as one group: fetch, commit, release, reject, extend, seek.

It sees nothing of other groups, and cannot change them. (It can read all messages of the stream: a
group may begin anywhere.) The role keeps the rights it has. This waits for transactions that read
the stream, and others wait meanwhile.

Only the owner of the stream may call this. Raises an error for anybody else, and for an unknown
stream, group or role.';
