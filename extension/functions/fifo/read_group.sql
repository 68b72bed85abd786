CREATE OR REPLACE FUNCTION pgmq.read_group(
    queue_name text,
    group_name text,
    vt integer,
    qty integer
)
RETURNS SETOF pgmq.message_record
LANGUAGE plpgsql VOLATILE ROWS 10
AS $$
BEGIN
    RETURN QUERY SELECT * FROM pgmq._fifo_read(
        queue_name, vt, coalesce(qty, 2147483647), 'group', group_name
    );
END
$$;
COMMENT ON FUNCTION pgmq.read_group(text, text, integer, integer) IS
'Lease up to qty messages of one FIFO group: its first ones, without a gap, in msg_id order.

The group is the header x-pgmq-group. A null group_name means the messages without that header. The
group gives nothing while its first message is leased, delayed or locked by another transaction. vt
and qty are as for read_grouped.';
