CREATE OR REPLACE FUNCTION pgmq.seek(stream_name text, group_name text, start text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_group pgmq.stream_group;
    v_behind bigint;
BEGIN
    PERFORM pgmq._compiled('fetch', stream_name);       -- an error unless it is a stream
    PERFORM pgmq._check_reads_committed();
    PERFORM pgmq._may_use_lanes('INSERT', stream_name);
    PERFORM pgmq._lock_table_first(stream_name);
    v_group := pgmq._existing_group(stream_name, group_name);
    v_behind := pgmq._position(v_group.queue_name, start);
    PERFORM pgmq._move_group(v_group.queue_name, group_name, v_behind);
    PERFORM pgmq._wake(v_group.queue_name);
    RETURN v_behind + 1;
END
$$;
COMMENT ON FUNCTION pgmq.seek(text, text, text) IS
'Have a group read from somewhere else, to replay or to skip; return the msg_id it goes on from.

start is as in create_group. All lanes go there. All leases of the group end, and its failures are
forgotten: commits of what was handed out before return false. This waits for transactions that read
as the group, and takes effect when the transaction commits.

The owner of the stream and roles with grant_fetch for the group may call this. Raises an error for
an unknown group, for a msg_id that the stream has not reached, and in a REPEATABLE READ or
SERIALIZABLE transaction.';

CREATE OR REPLACE FUNCTION pgmq.seek(stream_name text, group_name text, start bigint)
RETURNS bigint
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgmq.seek(stream_name, group_name, start::text)
$$;
COMMENT ON FUNCTION pgmq.seek(text, text, bigint) IS
'Have a group read from a msg_id on: the same as with that msg_id as a text.';

CREATE OR REPLACE FUNCTION pgmq.seek(stream_name text, group_name text, start timestamptz)
RETURNS bigint
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
SET datestyle = 'ISO'
AS $$
    SELECT pgmq.seek(stream_name, group_name, start::text)
$$;
COMMENT ON FUNCTION pgmq.seek(text, text, timestamptz) IS
'Have a group read from a time on: the same as with that time as a text.';
