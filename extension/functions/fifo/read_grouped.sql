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

Those of the group with the oldest message come first, then those of the next group, and so on. A message''s group is its header x-pgmq-group; messages without it are one group. Of each group come its first messages, without a gap; a group gives nothing while its first message is leased, delayed or locked by another transaction. Each message is hidden for vt seconds and its read_ct goes up by one; null qty means no limit. Never waits.

After create_fifo_index() a call that the front of the queue gives nothing looks at up to 1,000 groups: when nearly all of very many are blocked it can return nothing though one is free, and the session''s next call goes on from there. Without that index every call reads the 1,000 oldest messages, or as many as it takes.';
