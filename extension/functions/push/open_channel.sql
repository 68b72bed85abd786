CREATE OR REPLACE FUNCTION pgmq.open_channel(
    queue_name text,
    maximum_messages integer DEFAULT 1,
    vt integer DEFAULT 30
)
RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_channel text;
BEGIN
    PERFORM pgmq._compiled('read', queue_name);     -- an unknown queue is an error
    PERFORM pgmq._check_channel(maximum_messages, vt);
    IF NOT pgmq._pushes(queue_name) THEN
        PERFORM pgmq.enable_push(queue_name);
    END IF;
    v_channel := pgmq._open_channel(queue_name, maximum_messages, vt);
    EXECUTE pg_catalog.format('LISTEN %I', v_channel);
    RETURN v_channel;
END
$$;
COMMENT ON FUNCTION pgmq.open_channel(text, integer, integer) IS
'Have messages of a queue pushed to this session, which LISTENs to a new channel from now on.

Its name is returned. Each message comes there as a notification, leased for vt seconds (30 unless given): a JSON object of queue_name, msg_id, read_ct, enqueued_at, vt, message and headers. Where it would have 8,000 bytes or more, message or headers are left out, and message_omitted or headers_omitted is true: see get.

Up to maximum_messages (1 to 1,000) are out at a time; ack, nack, delete and archive, and a lease that ends, make room for the next, in transactions that are READ COMMITTED. The channel is open as long as the session, or until close_channel. One that answers nothing gets a message ever more seldom. When nothing came for a while call close_dead_channels, which pushes what fell due.

The session''s login needs SELECT and UPDATE on the queue''s table. The queue''s owner must be the extension''s, or have all its rights. Not through a pooler that changes sessions.';
