-- read_grouped drains the oldest group first, then the next
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6,7}', ARRAY['{"x-pgmq-group":"a"}', '{"x-pgmq-group":"b"}', '{"x-pgmq-group":"a"}', '{"x-pgmq-group":"c"}', '{"x-pgmq-group":"b"}', NULL, '{"x-pgmq-group":"a"}']::jsonb[]);
SELECT * FROM pgmq.read_grouped('q', 0, 0);
SELECT * FROM pgmq.read_grouped('q', 0, 1);
SELECT * FROM pgmq.read_grouped('q', 0, 2);
SELECT * FROM pgmq.read_grouped('q', 0, 3);
SELECT * FROM pgmq.read_grouped('q', 0, 4);
SELECT * FROM pgmq.read_grouped('q', 0, 100);
SELECT * FROM pgmq.read_grouped('q', 100, 4);
SELECT * FROM pgmq.read_grouped('q', 100, 1);
SELECT * FROM pgmq.read_grouped('q', 100, 100);
SELECT * FROM pgmq.read_grouped('q', 100, 100);

-- read_grouped_rr takes a message of each group, then another
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6,7}', ARRAY['{"x-pgmq-group":"a"}', '{"x-pgmq-group":"b"}', '{"x-pgmq-group":"a"}', '{"x-pgmq-group":"c"}', '{"x-pgmq-group":"b"}', NULL, '{"x-pgmq-group":"a"}']::jsonb[]);
SELECT * FROM pgmq.read_grouped_rr('q', 0, 0);
SELECT array_agg(msg_id) FROM pgmq.read_grouped_rr('q', 0, 1);
SELECT array_agg(msg_id) FROM pgmq.read_grouped_rr('q', 0, 3);
SELECT array_agg(msg_id) FROM pgmq.read_grouped_rr('q', 0, 5);
SELECT array_agg(msg_id) FROM pgmq.read_grouped_rr('q', 0, 100);
SELECT * FROM pgmq.read_grouped_rr('q', 100, 6);
SELECT * FROM pgmq.read_grouped_rr('q', 100, 100);
SELECT * FROM pgmq.set_vt('q', '{6,4}'::bigint[], 0);
SELECT array_agg(msg_id) FROM pgmq.read_grouped_rr('q', 100, 100);

-- read_grouped_head takes one message of each group
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6,7}', ARRAY['{"x-pgmq-group":"a"}', '{"x-pgmq-group":"b"}', '{"x-pgmq-group":"a"}', '{"x-pgmq-group":"c"}', '{"x-pgmq-group":"b"}', NULL, '{"x-pgmq-group":"a"}']::jsonb[]);
SELECT * FROM pgmq.read_grouped_head('q', 0, 0);
SELECT * FROM pgmq.read_grouped_head('q', 0, 3);
SELECT * FROM pgmq.read_grouped_head('q', 0, NULL);
SELECT * FROM pgmq.read_grouped_head('q', 100, 2);
SELECT * FROM pgmq.read_grouped_head('q', 100, 100);
SELECT * FROM pgmq.read_grouped_head('q', 100, 100);
SELECT pgmq.delete('q', '{1,2,4}'::bigint[]);
SELECT * FROM pgmq.read_grouped_head('q', 100, 100);

-- a group waits for its message in flight
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2,3,4}', ARRAY['{"x-pgmq-group":"a"}', '{"x-pgmq-group":"b"}', '{"x-pgmq-group":"a"}', '{"x-pgmq-group":"b"}']::jsonb[]);
SELECT * FROM pgmq.read('q', 100, 1);
SELECT * FROM pgmq.read_grouped('q', 100, 1);
SELECT * FROM pgmq.read_grouped('q', 100, 100);
SELECT * FROM pgmq.read_grouped_rr('q', 100, 100);
SELECT * FROM pgmq.read_grouped_head('q', 100, 100);
SELECT pgmq.delete('q', 1);
SELECT * FROM pgmq.read_grouped_head('q', 100, 100);
SELECT * FROM pgmq.set_vt('q', 2, 0);
SELECT * FROM pgmq.read_grouped_rr('q', 100, 1);
SELECT pgmq.archive('q', 2);
SELECT * FROM pgmq.read_grouped('q', 100, 100);

-- a group waits for its delayed message
SELECT pgmq.create('q');
SELECT pgmq.send('q', '1', '{"x-pgmq-group":"a"}'::jsonb, 3600);
SELECT pgmq.send('q', '2', '{"x-pgmq-group":"a"}'::jsonb);
SELECT pgmq.send('q', '3', '{"x-pgmq-group":"b"}'::jsonb);
SELECT pgmq.send('q', '4', 3600);
SELECT pgmq.send('q', '5');
SELECT * FROM pgmq.read_grouped('q', 0, 100);
SELECT * FROM pgmq.read_grouped_rr('q', 0, 100);
SELECT * FROM pgmq.read_grouped_head('q', 0, 100);
SELECT * FROM pgmq.set_vt('q', 1, 0);
SELECT * FROM pgmq.read_grouped('q', 0, 100);
SELECT array_agg(msg_id) FROM pgmq.read_grouped_rr('q', 0, 100);
SELECT * FROM pgmq.read_grouped_head('q', 0, 100);

-- what is no group belongs to the default one, and a group's name is text
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6,7,8}', ARRAY[NULL, '{}', '[1]', '"x-pgmq-group"', '["x-pgmq-group"]', '7', 'null', '{"x-pgmq-group":null}']::jsonb[]);
SELECT pgmq.send_batch('q', '{9,10,11,12,13}', ARRAY['{"x-pgmq-group":"_default_fifo_group"}', '{"x-pgmq-group":5}', '{"x-pgmq-group":"5"}', '{"x-pgmq-group":true}', '{"x-pgmq-group":{"a": 1}}']::jsonb[]);
SELECT pgmq.send_batch('q', '{14,15,16,17,18}', ARRAY['{"x-pgmq-group":""}', '{"x-pgmq-group":"{\"a\": 1}"}', '{"x-pgmq-group":"true"}', '{"X-PGMQ-GROUP":"5"}', '{"x-pgmq-group":" 5"}']::jsonb[]);
SELECT * FROM pgmq.read_grouped_head('q', 0, 100);
SELECT array_agg(msg_id) FROM pgmq.read_grouped_rr('q', 0, 100);
SELECT * FROM pgmq.read_grouped('q', 100, 9);
SELECT * FROM pgmq.read_grouped('q', 100, 100);

-- a poll returns what is there
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2,3,4}', ARRAY['{"x-pgmq-group":"a"}', '{"x-pgmq-group":"b"}', '{"x-pgmq-group":"a"}', '{"x-pgmq-group":"b"}']::jsonb[]);
SELECT * FROM pgmq.read_grouped_with_poll('q', 0, 2);
SELECT * FROM pgmq.read_grouped_rr_with_poll('q', 0, 2, 5);
SELECT * FROM pgmq.read_grouped_head_with_poll('q', 100, 1, 5, 10);
SELECT * FROM pgmq.read_grouped_with_poll('q', 100, 1, NULL, NULL);
SELECT * FROM pgmq.read_grouped_rr_with_poll('q', vt => 100, qty => 1, max_poll_seconds => 1);

-- a poll waits for a group
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2}', 1);
SELECT * FROM pgmq.read_grouped_head_with_poll('q', 100, 2, 5, 10);

-- an index for groups changes no answer, and may be made again
SELECT pgmq.create('q');
SELECT pgmq.create_unlogged('Other One');
SELECT pgmq.create_fifo_index('q');
SELECT pgmq.create_fifo_index('Q');
SELECT pgmq.create_fifo_indexes_all();
SELECT pgmq.create_fifo_indexes_all();
SELECT pgmq.send_batch('q', '{1,2,3}', ARRAY['{"x-pgmq-group":"a"}', '{"x-pgmq-group":"b"}', '{"x-pgmq-group":"a"}']::jsonb[]);
SELECT pgmq.send_batch('Other One', '{1,2,3}', ARRAY['{"x-pgmq-group":"a"}', '{"x-pgmq-group":"b"}', '{"x-pgmq-group":"a"}']::jsonb[]);
SELECT * FROM pgmq.read_grouped('q', 100, 2);
SELECT * FROM pgmq.read_grouped_head('Other One', 100, 3);
SELECT * FROM pgmq.read_grouped_rr('Q', 100, 3);
SELECT pgmq.drop_queue('q');

-- grouped reads of an empty queue
SELECT pgmq.create('q');
SELECT * FROM pgmq.read_grouped('q', 100, 2);
SELECT * FROM pgmq.read_grouped_rr('q', 100, 2);
SELECT * FROM pgmq.read_grouped_head('q', 100, 2);
SELECT pgmq.create_fifo_indexes_all();
SELECT * FROM pgmq.read_grouped('q', 100, 2);
SELECT * FROM pgmq.read_grouped_rr('q', 100, 2);
SELECT * FROM pgmq.read_grouped_head('q', 100, 2);

-- a transaction reads its own groups, and gives them back when it rolls back
SELECT pgmq.create('q');
BEGIN;
SELECT pgmq.send_batch('q', '{1,2,3}', ARRAY['{"x-pgmq-group":"a"}', '{"x-pgmq-group":"b"}', '{"x-pgmq-group":"a"}']::jsonb[]);
SELECT * FROM pgmq.read_grouped('q', 100, 1);
SAVEPOINT s;
SELECT * FROM pgmq.read_grouped_head('q', 100, 10);
ROLLBACK TO s;
SELECT * FROM pgmq.read_grouped_head('q', 100, 10);
SELECT pgmq.delete('q', 1);
SELECT * FROM pgmq.read_grouped_rr('q', 100, 10);
COMMIT;

-- a read-only transaction may not read groups
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2}');
BEGIN READ ONLY;
SELECT pgmq.read_grouped('q', 100, 1) IS NULL;
ROLLBACK;
BEGIN READ ONLY;
SELECT pgmq.read_grouped_rr('q', 100, 1) IS NULL;
ROLLBACK;
BEGIN READ ONLY;
SELECT pgmq.read_grouped_head('q', 100, 1) IS NULL;
ROLLBACK;
