CREATE OR REPLACE FUNCTION pgmq.read_grouped(queue_name text, vt integer, qty integer)
RETURNS SETOF pgmq.message_record
LANGUAGE plpgsql VOLATILE ROWS 10
AS $$
BEGIN
    RETURN QUERY SELECT * FROM pgmq._fifo_read(
        queue_name, vt, coalesce(qty, 2147483647), 'grouped', null
    );
END
$$;
COMMENT ON FUNCTION pgmq.read_grouped(text, integer, integer) IS
'Lease up to qty messages of FIFO groups, group after group, in msg_id order.

The group with the oldest message comes first, then the next group, and so on. A message''s group is
its header x-pgmq-group; all messages without that header are one group. A group gives its first
messages, without a gap. It gives nothing while its first message is leased, delayed or locked by
another transaction.

Each message is hidden for vt seconds, and its read_ct goes up by one. Null qty means no limit. The
call never waits.

After create_fifo_index(), a call that finds nothing at the front of the queue looks at up to 1,000
groups. If nearly all of very many groups are blocked, it can return nothing though one is free; the
session''s next call then goes on from there. Without that index every call reads the 1,000 oldest
messages, or more if those are not enough.';
