-- FIFO groups: the messages of a group are handed out in order, one lease at a time.
\set SHOW_CONTEXT never
SELECT pgmq.create('fifo');

-- The group is a header; what has none belongs to one group of its own.
SELECT pgmq.send('fifo', '"debit"', '{"x-pgmq-group": "ann"}'::jsonb);
SELECT pgmq.send('fifo', '"debit"', '{"x-pgmq-group": "bob"}'::jsonb);
SELECT pgmq.send('fifo', '"credit"', '{"x-pgmq-group": "ann"}'::jsonb);
SELECT pgmq.send('fifo', '"hello"');
SELECT pgmq.send('fifo', '"credit"', '{"x-pgmq-group": "bob"}'::jsonb);
SELECT pgmq.send('fifo', '"close"', '{"x-pgmq-group": "ann"}'::jsonb);

-- The index costs senders a little, and keeps grouped reads of long queues fast.
SELECT pgmq.create_fifo_index('fifo');
SELECT pgmq.create_fifo_index('fifo');
SELECT pgmq.create_fifo_indexes_all();

-- Group after group, from the one with the oldest message; a batch is in msg_id order.
SELECT msg_id, message, headers FROM pgmq.read_grouped('fifo', 0, 4);

-- In turns: the first message of each group, then the second ones.
SELECT msg_id, message, headers FROM pgmq.read_grouped_rr('fifo', 0, 4);

-- Only the first of each group.
SELECT msg_id, message, headers FROM pgmq.read_grouped_head('fifo', 0, 4);

-- One group.
SELECT msg_id, message FROM pgmq.read_group('fifo', 'bob', 0, 4);
SELECT msg_id, message FROM pgmq.read_group('fifo', null, 0, 4);
SELECT msg_id, message FROM pgmq.read_group('fifo', 'nobody', 0, 4);

-- A lease on a message of a group closes the group to everybody.
SELECT msg_id, read_ct FROM pgmq.read_grouped('fifo', 600, 1);
SELECT msg_id FROM pgmq.read_grouped('fifo', 0, null);
SELECT msg_id FROM pgmq.read_group('fifo', 'ann', 0, 1);

-- Acknowledging it opens the group at the next message.
SELECT pgmq.ack('fifo', 1, 4);
SELECT msg_id, read_ct FROM pgmq.read_group('fifo', 'ann', 600, 1);

-- Giving it back opens the group where it was; a delay keeps it closed until then.
SELECT pgmq.nack('fifo', 3, 3);
SELECT msg_id FROM pgmq.read_grouped_head('fifo', 0, null);
SELECT msg_id FROM pgmq.set_vt('fifo', 3, 3600);
SELECT msg_id FROM pgmq.read_grouped_head('fifo', 0, null);

-- A batch ends before a delayed message: what is behind it waits for it.
SELECT msg_id FROM pgmq.set_vt('fifo', 3, 0);
SELECT msg_id FROM pgmq.set_vt('fifo', 5, 3600);
SELECT pgmq.send('fifo', '"close"', '{"x-pgmq-group": "bob"}'::jsonb);
SELECT msg_id FROM pgmq.read_grouped_rr('fifo', 600, null);
SELECT pgmq.delete('fifo', '{2, 3, 4, 6}'::bigint[]);
SELECT msg_id FROM pgmq.read_grouped_rr('fifo', 600, null);

-- Polling returns at once when there is something, and when the time is up.
SELECT msg_id FROM pgmq.set_vt('fifo', 5, 0);
SELECT msg_id FROM pgmq.read_grouped_with_poll('fifo', 0, 1, 60, 10);
SELECT msg_id FROM pgmq.read_grouped_rr_with_poll('fifo', 0, 1, 60);
SELECT msg_id FROM pgmq.read_grouped_head_with_poll('fifo', 600, 1);
SELECT msg_id FROM pgmq.read_grouped_with_poll('fifo', 600, 1, 0);

-- What is wrong.
SELECT msg_id FROM pgmq.read_grouped('fifo', null, 1);
SELECT msg_id FROM pgmq.read_grouped_rr('fifo', 0, -1);
SELECT msg_id FROM pgmq.read_grouped_head('nope', 0, 1);
SELECT msg_id FROM pgmq.read_group(null, 'ann', 0, 1);
SELECT pgmq.create_fifo_index('nope');

SELECT pgmq.drop_queue('fifo');
