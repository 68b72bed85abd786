-- each create makes its kind of queue
SELECT pgmq.create(queue_name => 'a');
SELECT pgmq.create_non_partitioned(queue_name => 'b');
SELECT pgmq.create_unlogged(queue_name => 'c');
SELECT * FROM pgmq.create('d');
SELECT * FROM pgmq.list_queues();
SELECT (pgmq.list_queues()).queue_name;
SELECT relname::text, relpersistence::text FROM pg_class WHERE relname ~ '^[qa]_.$';

-- creating a queue again changes nothing, whatever the kind
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}');
SELECT pgmq.create('q');
SELECT pgmq.create_unlogged('q');
SELECT pgmq.create_non_partitioned('q');
SELECT pgmq.create_unlogged('u');
SELECT pgmq.send('u', '1');
SELECT pgmq.create('u');
SELECT relname::text, relpersistence::text FROM pg_class WHERE relname ~ '^[qa]_.$';
SELECT pgmq.send('q', '7');
SELECT pgmq.send('u', '2');

-- a queue that is dropped and made again starts at 1, with an empty archive
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}');
SELECT pgmq.archive('q', 1);
SELECT pgmq.drop_queue(queue_name => 'q');
SELECT count(*) FROM pgmq.list_queues();
SELECT pgmq.create_unlogged('q');
SELECT pgmq.send('q', '1');
SELECT pgmq.drop_queue('q');
SELECT pgmq.create('q');
SELECT pgmq.send('q', '1');

-- dropping what does not exist is false and a notice
SELECT pgmq.drop_queue('nope');
SELECT pgmq.drop_queue('');
SELECT pgmq.drop_queue(NULL);

-- the deprecated drop_queue warns, takes any flag, and is always true
SELECT pgmq.create('a');
SELECT pgmq.create('b');
SELECT pgmq.create('c');
SELECT pgmq.drop_queue('a', true);
SELECT pgmq.drop_queue(queue_name => 'b', partitioned => false);
SELECT pgmq.drop_queue('c', NULL);
SELECT pgmq.drop_queue('c', false);

-- detach_archive only warns
SELECT pgmq.create('q');
SELECT pgmq.detach_archive('q');
SELECT pgmq.detach_archive(queue_name => 'nope');
SELECT pgmq.detach_archive(NULL);
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}');
SELECT pgmq.archive('q', 1);
SELECT pgmq.drop_queue('q');

-- create repairs a queue whose table was dropped, and keeps its archive
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}');
SELECT pgmq.archive('q', 1);
DROP TABLE pgmq.q_q;
SELECT pgmq.create('q');
SELECT pgmq.send('q', '1');
SELECT * FROM pgmq.read('q', 0, 10);
SELECT pgmq.delete('q', 1);

-- create and drop_queue follow the transaction
BEGIN;
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}');
SELECT * FROM pgmq.read('q', 100, 1);
ROLLBACK;
SELECT pgmq.drop_queue('q');
BEGIN;
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}');
SELECT pgmq.drop_queue('q');
SELECT pgmq.create('q');
SELECT pgmq.send('q', '1');
COMMIT;
SELECT * FROM pgmq.read('q', 100, 1);
BEGIN;
SELECT pgmq.drop_queue('q');
ROLLBACK;
SELECT pgmq.send('q', '2');
SELECT * FROM pgmq.read('q', 100, 1);

-- a queue that something depends on is not dropped
SELECT pgmq.create('q');
CREATE TEMPORARY VIEW seen AS SELECT * FROM pgmq.q_q;
SELECT pgmq.drop_queue('q');
DROP VIEW seen;
CREATE TEMPORARY VIEW seen AS SELECT * FROM pgmq.a_q;
SELECT pgmq.drop_queue('q');
DROP VIEW seen;
SELECT pgmq.drop_queue('q');

-- acquire_queue_lock and create take the transaction lock that upstream takes
BEGIN;
SELECT pgmq.acquire_queue_lock('q');
SELECT pgmq.acquire_queue_lock(queue_name => 'A$b');
SELECT classid::bigint, objid::bigint, objsubid, mode, granted
    FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND pid = pg_backend_pid();
COMMIT;
SELECT classid::bigint, objid::bigint, objsubid, mode, granted
    FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND pid = pg_backend_pid();
BEGIN;
SELECT pgmq.create('q');
SELECT classid::bigint, objid::bigint, objsubid, mode, granted
    FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND pid = pg_backend_pid();
COMMIT;
