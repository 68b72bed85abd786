-- metrics count what is there, what is visible, and what ever was
SELECT pgmq.create('q');
SELECT * FROM pgmq.metrics('q');
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}');
SELECT * FROM pgmq.metrics('q');
SELECT pgmq.send('q', '7', 100);
SELECT count(*) FROM pgmq.read('q', 100, 2);
SELECT count(*) FROM pgmq.read('q', 0, 1);
SELECT pgmq.delete('q', 4);
SELECT pgmq.archive('q', 5);
SELECT * FROM pgmq.metrics(queue_name => 'q');
SELECT count(*) FROM pgmq.set_vt('q', 7, 0);
SELECT * FROM pgmq.metrics('q');
SELECT pgmq.purge_queue('q');
SELECT * FROM pgmq.metrics('q');
SELECT pgmq.metrics('q');

-- ages are whole seconds from the oldest and the newest message
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}');
UPDATE pgmq.q_q SET enqueued_at = now() - interval '90.7 s' WHERE msg_id = 1;
UPDATE pgmq.q_q SET enqueued_at = now() - interval '1 d' WHERE msg_id = 2;
SELECT * FROM pgmq.metrics('q');
DELETE FROM pgmq.q_q WHERE msg_id > 1;
SELECT * FROM pgmq.metrics('q');
UPDATE pgmq.q_q SET enqueued_at = now() + interval '90.7 s', vt = now();
SELECT * FROM pgmq.metrics('q');

-- total_messages counts the ids that were drawn, also those rolled back
SELECT pgmq.create('q');
BEGIN;
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}');
ROLLBACK;
SELECT * FROM pgmq.metrics('q');
SELECT pgmq.send('q', '1');
SELECT * FROM pgmq.metrics('q');

-- metrics_all has one row for each queue
SELECT * FROM pgmq.metrics_all();
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}');
SELECT pgmq.create_unlogged('U');
SELECT pgmq.create('');
SELECT pgmq.send('', '1', 100);
SELECT * FROM pgmq.metrics_all();
SELECT (pgmq.metrics_all()).queue_name;
