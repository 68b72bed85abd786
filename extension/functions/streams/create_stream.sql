CREATE OR REPLACE FUNCTION pgmq.create_stream(
    stream_name text,
    segment_interval text DEFAULT '1 day',
    retention_interval text DEFAULT '7 days'
)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_path CONSTANT text := pg_catalog.current_setting('search_path'::text);
BEGIN
    PERFORM pgmq._check_segments(segment_interval, retention_interval);
    PERFORM pgmq._create(
        stream_name, false, pgmq._partition_interval(segment_interval), retention_interval,
        is_stream => true
    );
    PERFORM pgmq._restore_search_path(v_path);
END
$$;
COMMENT ON FUNCTION pgmq.create_stream(text, text, text) IS
'Create a stream: a log of messages, which groups of consumers read, each at its own pace.

Messages are sent to it as to a queue. They stay, in the order of their msg_ids, until retention
drops the segment that they are in.

segment_interval says when a segment ends: a duration from a second on, or a number of msg_ids from
100 on. Durations are counted from Monday, 1900-01-01 UTC: days end at midnight. So the first
segment may be shorter. After a segment that ends at a time, msg_ids go on at a greater
number. retention_interval is a duration or a number of messages: a segment is dropped when all of
it is older, or when so many messages came after it. Null keeps everything. A segment that a group
with keep_unread has still to read is kept.

Sends, fetches and maintain do this upkeep. If the stream exists, this only raises a notice, and
changes nothing. A queue of another kind with this name is an error.';
