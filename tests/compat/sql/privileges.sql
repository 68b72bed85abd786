-- the tables' grants suffice to send, read, change, delete and archive
SELECT pgmq.create('q');
GRANT USAGE ON SCHEMA pgmq TO compat;
GRANT SELECT, INSERT, UPDATE, DELETE ON pgmq.q_q, pgmq.a_q TO compat;
SET ROLE compat;
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}');
SELECT pgmq.send('q', '7');
SELECT * FROM pgmq.read('q', 100, 2);
SELECT * FROM pgmq.read('q', 0, 1);
SELECT * FROM pgmq.read_with_poll('q', 0, 1);
SELECT * FROM pgmq.read('q', 0, 1, '3');
SELECT * FROM pgmq.pop('q');
SELECT * FROM pgmq.set_vt('q', 1, 0);
SELECT * FROM pgmq.set_vt('q', '{2,4}'::bigint[], 100);
SELECT pgmq.delete('q', 1);
SELECT pgmq.delete('q', '{2}'::bigint[]);
SELECT pgmq.archive('q', 4);
SELECT pgmq.archive('q', '{5}'::bigint[]);
INSERT INTO pgmq.q_q (vt, message) VALUES (now(), '1');
SELECT * FROM pgmq.read('q', 100, 100);
SELECT * FROM pgmq.read('q', 100, 100);

-- without the schema nothing works
SELECT pgmq.create('q');
SET ROLE compat;
SELECT pgmq.send('q', '1');
SELECT pgmq.read('q', 0, 1);
SELECT pgmq.list_queues();

-- without the table's grants nothing works
SELECT pgmq.create('q');
GRANT USAGE ON SCHEMA pgmq TO compat;
SET ROLE compat;
SELECT pgmq.send('q', '1');
SELECT pgmq.send_batch('q', '{1}');
SELECT pgmq.read('q', 0, 1);
SELECT pgmq.pop('q');
SELECT pgmq.delete('q', 1);
SELECT pgmq.delete('q', '{1}'::bigint[]);
SELECT pgmq.archive('q', 1);
SELECT pgmq.set_vt('q', 1, 0);
SELECT pgmq.purge_queue('q');
SELECT pgmq.create('other');
SELECT pgmq.drop_queue('q');

-- a producer needs to insert and to see the id
SELECT pgmq.create('q');
GRANT USAGE ON SCHEMA pgmq TO compat;
GRANT INSERT, SELECT (msg_id) ON pgmq.q_q TO compat;
SET ROLE compat;
SELECT pgmq.send('q', '1');
SELECT pgmq.send('q', '1', '2'::jsonb, 100);
SELECT pgmq.send_batch('q', '{1,2}');

-- row security decides what a role can read
SELECT pgmq.create('q');
GRANT USAGE ON SCHEMA pgmq TO compat;
GRANT SELECT, INSERT, UPDATE, DELETE ON pgmq.q_q, pgmq.a_q TO compat;
ALTER TABLE pgmq.q_q ENABLE ROW LEVEL SECURITY;
CREATE POLICY even ON pgmq.q_q TO compat USING (msg_id % 2 = 0) WITH CHECK (true);
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}');
SET ROLE compat;
SELECT * FROM pgmq.read('q', 0, 2);
SELECT * FROM pgmq.read('q', 100, 10);
SELECT pgmq.delete('q', '{1,2}'::bigint[]);
SELECT pgmq.archive('q', '{3,4}'::bigint[]);
SELECT msg_id FROM pgmq.set_vt('q', '{5,6}'::bigint[], 0);
SELECT * FROM pgmq.pop('q', 10);

-- pg_monitor sees metrics and may not read
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}');
SET ROLE pg_monitor;
SELECT * FROM pgmq.metrics('q');
SELECT * FROM pgmq.metrics_all();
SELECT * FROM pgmq.list_queues();
SELECT pgmq.read('q', 0, 1);

-- who may create in the schema and write to meta may have queues
GRANT USAGE, CREATE ON SCHEMA pgmq TO compat;
GRANT SELECT, INSERT, UPDATE, DELETE ON pgmq.meta TO compat;
SET ROLE compat;
SELECT pgmq.create('q');
SELECT pgmq.send('q', '1');
SELECT * FROM pgmq.read('q', 100, 1);
SELECT pgmq.archive('q', 1);
SELECT * FROM pgmq.metrics('q');
SELECT pgmq.purge_queue('q');
SELECT pgmq.create('q');
SELECT pgmq.drop_queue('q');
SELECT pgmq.create_unlogged('q');
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}');
RESET ROLE;
SELECT * FROM pgmq.read('q', 100, 1);
SELECT pgmq.drop_queue('q');

-- grouped reads need what reads need
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2}');
GRANT USAGE ON SCHEMA pgmq TO compat;
SET ROLE compat;
SELECT * FROM pgmq.read_grouped('q', 100, 1);
SELECT * FROM pgmq.read_grouped_rr('q', 100, 1);
SELECT * FROM pgmq.read_grouped_head('q', 100, 1);
RESET ROLE;
GRANT SELECT, UPDATE ON pgmq.q_q TO compat;
SET ROLE compat;
SELECT * FROM pgmq.read_grouped_head('q', 0, 1);
SELECT * FROM pgmq.read_grouped_rr('q', 0, 1);
SELECT * FROM pgmq.read_grouped('q', 100, 2);

-- the index for groups is made by the queue's owner
SELECT pgmq.create('q');
GRANT USAGE, CREATE ON SCHEMA pgmq TO compat;
GRANT SELECT, INSERT, UPDATE, DELETE ON pgmq.q_q, pgmq.meta TO compat;
SET ROLE compat;
SELECT pgmq.create_fifo_index('q');

-- who may read the bindings and insert into the queues may send to a topic
SELECT pgmq.create('q');
SELECT pgmq.bind_topic('#', 'q');
GRANT USAGE ON SCHEMA pgmq TO compat;
GRANT INSERT, SELECT (msg_id) ON pgmq.q_q TO compat;
SET ROLE compat;
SELECT pgmq.bind_topic('a', 'q');
SELECT pgmq.unbind_topic('a', 'q');
RESET ROLE;
GRANT SELECT ON pgmq.topic_bindings TO compat;
SET ROLE compat;
SELECT pgmq.send_topic('a', '1');
SELECT * FROM pgmq.send_batch_topic('a', '{1}');
SELECT * FROM pgmq.list_topic_bindings();
SELECT * FROM pgmq.test_routing('a');

-- pg_monitor sees the bindings
SELECT pgmq.create('q');
SELECT pgmq.bind_topic('#', 'q');
SET ROLE pg_monitor;
SELECT * FROM pgmq.list_topic_bindings();
SELECT * FROM pgmq.test_routing('a');
SELECT pgmq.send_topic('a', '1');
