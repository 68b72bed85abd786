CREATE OR REPLACE FUNCTION pgmq.create_group(
    stream_name text,
    group_name text,
    start text DEFAULT 'latest',
    lanes integer DEFAULT 1,
    max_deliveries integer DEFAULT null,
    dead_letter_queue text DEFAULT null,
    keep_unread boolean DEFAULT true
)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_stream CONSTANT text := pgmq._stream_name(stream_name);
    v_group pgmq.stream_group := (
        v_stream, group_name, lanes, max_deliveries, dead_letter_queue, coalesce(keep_unread, true),
        now()
    );
    v_behind bigint;
BEGIN
    PERFORM pgmq._check_group(v_group);
    IF EXISTS (
        SELECT FROM pgmq.stream_group AS g
        WHERE g.queue_name = v_stream AND g.group_name = create_group.group_name
    )
    THEN
        RAISE NOTICE 'group "%" of stream "%" already exists, skipping', group_name, v_stream
            USING ERRCODE = 'duplicate_object';
        RETURN;
    END IF;
    PERFORM pgmq._lock_table_first(v_stream);       -- else retention might drop where it begins
    v_behind := pgmq._position(v_stream, start);
    IF dead_letter_queue IS NOT NULL THEN
        PERFORM pgmq._refuse_stream(dead_letter_queue);
        v_group.dead_letter_queue := pgmq._ensure_dead_letter_queue(v_stream, dead_letter_queue);
    END IF;
    INSERT INTO pgmq.stream_group SELECT (v_group).*;
    PERFORM pgmq._add_lanes(v_stream, group_name, v_behind);
END
$$;
COMMENT ON FUNCTION pgmq.create_group(text, text, text, integer, integer, text, boolean) IS
'Create a group of consumers, which reads all messages of a stream once.

group_name has 1 to 255 bytes; upper and lower case differ. start says where it begins, as a text:
- "earliest": with the oldest message there is.
- "latest": with what is sent from now on, and what other transactions have not committed yet.
- A msg_id, in digits: with that message. One more than the last is allowed.
- A time, such as "yesterday": with the first message sent then or later. Messages have the time at
  which their transaction began. A time to come means "latest". In a REPEATABLE READ or
  SERIALIZABLE transaction a time is an error.

A group has 1 to 64 lanes, and each is leased to one consumer at a time. All messages of a key
(header x-pgmq-group) go to the same lane, so they stay in order. Messages without a key are dealt
out to the lanes by msg_id. The number of lanes cannot be changed later.

max_deliveries (1 to 200) and dead_letter_queue: a batch that fails is handed out again, each time
in smaller pieces. A message that has failed max_deliveries times, the last time alone, is copied to
this queue, which is created if missing, and the group goes on after it. Without max_deliveries a
failing batch is handed out again and again, and reject alone copies messages to the queue.
keep_unread (null: true): retention drops no segment that the group has yet to read.

Only the owner of the stream may call this. If the group exists, this only raises a notice, and
changes no option.';

CREATE OR REPLACE FUNCTION pgmq.create_group(
    stream_name text,
    group_name text,
    start bigint,
    lanes integer DEFAULT 1,
    max_deliveries integer DEFAULT null,
    dead_letter_queue text DEFAULT null,
    keep_unread boolean DEFAULT true
)
RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgmq.create_group(
        stream_name, group_name, start::text, lanes, max_deliveries, dead_letter_queue, keep_unread
    )
$$;
COMMENT ON FUNCTION pgmq.create_group(text, text, bigint, integer, integer, text, boolean) IS
'Create a group that begins with a msg_id: the same as with that as a text.';

CREATE OR REPLACE FUNCTION pgmq.create_group(
    stream_name text,
    group_name text,
    start timestamptz,
    lanes integer DEFAULT 1,
    max_deliveries integer DEFAULT null,
    dead_letter_queue text DEFAULT null,
    keep_unread boolean DEFAULT true
)
RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
SET datestyle = 'ISO'
AS $$
    SELECT pgmq.create_group(
        stream_name, group_name, start::text, lanes, max_deliveries, dead_letter_queue, keep_unread
    )
$$;
COMMENT ON FUNCTION pgmq.create_group(text, text, timestamptz, integer, integer, text, boolean) IS
'Create a group that begins with a time: the same as with that as a text.';
