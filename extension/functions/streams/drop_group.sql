CREATE OR REPLACE FUNCTION pgmq.drop_group(stream_name text, group_name text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_stream CONSTANT text := pgmq._stream_name(stream_name);
    v_lane CONSTANT text := pgmq._relation_name('lane', v_stream);
BEGIN
    IF group_name IS NULL THEN
        PERFORM pgmq._raise_null('group name', 'pgmq.list_groups() has the names there are.');
    END IF;
    -- This waits for transactions that have a lane. Then the state that they leave is seen, and nobody
    -- makes another one.
    PERFORM pgmq._move_group(v_stream, group_name, 0);
    DELETE FROM pgmq.stream_group AS g
    WHERE g.queue_name = v_stream AND g.group_name = drop_group.group_name;
    IF NOT FOUND THEN
        RAISE NOTICE 'stream "%" has no group "%", skipping', v_stream, group_name;
        RETURN false;
    END IF;
    EXECUTE format('DELETE FROM pgmq.%I AS l WHERE l.group_name = $1', v_lane) USING group_name;
    PERFORM pgmq._hide_lanes(v_stream, null, group_name);
    RETURN true;
END
$$;
COMMENT ON FUNCTION pgmq.drop_group(text, text) IS
'Drop a group of a stream; false, with a notice, when there is no such group.

Its consumers get errors from then on. Retention no longer waits for it. Its dead-letter queue
stays. This waits for transactions that read as the group. If a role was granted to read as the
group, it waits for all that read the stream, and they wait until this transaction ends.

Only the owner of the stream may call this.';
