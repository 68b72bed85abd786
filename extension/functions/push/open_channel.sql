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
    PERFORM pgmq._compiled('receive', queue_name);     -- an unknown queue is an error
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
'Push messages of a queue to this session, which LISTENs to a new channel from now on.

Returns the name of the channel. Each message arrives as a notification, leased for vt seconds (30
unless given). The payload is a JSON object of queue_name, msg_id, read_ct, enqueued_at, vt, message
and headers. If it would have 8,000 bytes or more, message or headers are left out, and
message_omitted or headers_omitted is true: get returns the whole message.

Up to maximum_messages (1 to 1,000) are leased to the channel at a time. ack, nack, delete and
archive, in transactions that are READ COMMITTED, make room for the next message, and so does a
lease that ends. A channel that answers nothing gets messages ever more seldom. When nothing came
for a while call close_dead_channels, which pushes what fell due. The channel is open until the
session ends or calls close_channel.

The session''s login needs SELECT and UPDATE on the queue''s table, for as long as the channel is
open, and row-level security must not apply to it. The queue''s owner must be the extension''s
owner, or have all its rights. Push does not work through a pooler that changes sessions.';
