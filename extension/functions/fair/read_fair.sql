CREATE OR REPLACE FUNCTION pgmq.read_fair(queue_name text, vt integer, qty integer)
RETURNS SETOF pgmq.message_record
LANGUAGE plpgsql VOLATILE ROWS 10
AS $$
BEGIN
    RETURN QUERY SELECT * FROM pgmq._fifo_read(
        queue_name, vt, coalesce(qty, 2147483647), 'fair', null
    );
END
$$;
COMMENT ON FUNCTION pgmq.read_fair(text, integer, integer) IS
'Lease up to qty visible messages, in turns: one of each group, whatever the groups'' backlogs.

A message''s group is its header x-pgmq-group; all messages without that header are one group. Each
call goes on with the group after the last one that was served, by whatever session. So a group with
a visible message has its turn after one message of each other group, at most. Of a group, the
oldest message comes first; of those that were read or delayed before, the ones that fell due first.
That others of the group are leased does not matter. Where fewer groups have messages than are
wanted, further rounds follow. The messages come in the order of the turns.

The queue needs create_fair_index, or max_in_flight_per_group. vt and qty are as for read. The call
never waits for a message that another transaction holds.';
