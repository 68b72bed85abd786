CREATE OR REPLACE FUNCTION pgmq.create_unlogged(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM pgmq._create(queue_name, unlogged => true);
END
$$;
COMMENT ON FUNCTION pgmq.create_unlogged(text) IS
'Create a queue whose messages are not written to the WAL: faster, but a crash empties it.

A standby does not have the messages. The archive is an ordinary table. The msg_ids go on after a
crash (from Postgres 15 on).';
