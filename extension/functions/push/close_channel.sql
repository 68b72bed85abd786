CREATE OR REPLACE FUNCTION pgmq.close_channel(channel text DEFAULT null)
RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_channel pgmq.channel;
    v_count integer := 0;
BEGIN
    PERFORM pgmq._release_closed();
    FOR v_channel IN
        SELECT c.* FROM pgmq.channel AS c
        WHERE c.channel = close_channel.channel
            OR (close_channel.channel IS NULL AND c.pid = pg_backend_pid())
        ORDER BY c.channel
    LOOP
        IF v_channel.pid <> pg_backend_pid() THEN
            RAISE EXCEPTION 'channel "%" was opened by another session', channel
                USING ERRCODE = 'object_in_use',
                    HINT = 'It is closed when that session ends; pg_terminate_backend ends it.';
        END IF;
        -- The channel's lock stays: a rollback opens the channel again. See _release_closed.
        PERFORM pg_advisory_xact_lock_shared(pgmq._channel_locks(), v_channel.number);
        EXECUTE format('UNLISTEN %I', v_channel.channel);
        PERFORM pgmq._close(v_channel.channel, true);
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION pgmq.close_channel(text) IS
'Close a channel of this session (null: all of them), and return how many were closed.

Messages that were pushed and are not acknowledged go to other consumers at once. Raises an error
for a channel of another session.';
