-- read takes the smallest ids, counts, and hides them
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}');
SELECT * FROM pgmq.read('q', 100, 2);
SELECT * FROM pgmq.read(queue_name => 'q', vt => 100, qty => 3);
SELECT * FROM pgmq.read('q', 100, 3, '{}');
SELECT * FROM pgmq.read('q', 100, 3);

-- a vt of 0 leaves a message visible, and counts again
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}');
SELECT * FROM pgmq.read('q', 0, 2);
SELECT * FROM pgmq.read('q', 0, 3);
SELECT * FROM pgmq.read('q', 100, 1);
SELECT * FROM pgmq.read('q', 0, 3);
SELECT * FROM pgmq.read('q', -1, 1);
SELECT * FROM pgmq.read('q', 2147483647, 1);

-- qty: none means all, 0 none
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}');
SELECT * FROM pgmq.read('q', 100, 0);
SELECT * FROM pgmq.read('q', 0, NULL);
SELECT * FROM pgmq.pop('q', 0);
SELECT * FROM pgmq.pop('q', 2147483647);
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}');
SELECT * FROM pgmq.read_with_poll('q', 0, NULL);
SELECT * FROM pgmq.pop('q', NULL);

-- reading in the target list, in a join, and as a value is the same reading
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}');
SELECT pgmq.read('q', 100, 1);
SELECT (r).msg_id, (r).read_ct FROM (SELECT pgmq.read('q', 100, 1) AS r OFFSET 0) s;
SELECT r.* FROM (VALUES (1), (2)) v (n), LATERAL pgmq.read('q', 100, v.n) r;
SELECT pgmq.read('q', 100, 0);
SELECT (pgmq.read('q', 100, 1)).message;
SELECT r.message FROM pgmq.read('q', 100, 1) r WHERE r.msg_id = 0;

-- a read is the transaction's
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}');
BEGIN;
SELECT * FROM pgmq.read('q', 100, 2);
SELECT pgmq.delete('q', 1);
SELECT * FROM pgmq.pop('q');
ROLLBACK;
SELECT * FROM pgmq.read('q', 100, 1);
BEGIN;
SELECT * FROM pgmq.pop('q');
SAVEPOINT a;
SELECT * FROM pgmq.read('q', 100, 1);
ROLLBACK TO a;
SELECT * FROM pgmq.read('q', 100, 1);
COMMIT;

-- pop returns the rows as they are and removes them
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}', '{1,2,3,4,5,6}'::jsonb[]);
SELECT * FROM pgmq.pop('q');
SELECT * FROM pgmq.read('q', 100, 1);
SELECT * FROM pgmq.read('q', 0, 1);
SELECT * FROM pgmq.pop(queue_name => 'q', qty => 2);
SELECT pgmq.pop('q');
SELECT * FROM pgmq.pop('q', 10);
SELECT * FROM pgmq.pop('q');

-- read_with_poll returns at once when there is something
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}');
SELECT * FROM pgmq.read_with_poll('q', 100, 1);
SELECT * FROM pgmq.read_with_poll('q', 100, 1, 1);
SELECT * FROM pgmq.read_with_poll('q', 100, 1, 60, 60000);
SELECT * FROM pgmq.read_with_poll('q', 100, 1, 60, 100, '{}');
SELECT * FROM pgmq.read_with_poll('q', 100, 1, NULL, 0);
SELECT * FROM pgmq.read_with_poll(queue_name => 'q', vt => 100, qty => 10,
    max_poll_seconds => 5, poll_interval_ms => NULL, conditional => NULL);

-- read_with_poll waits for what fits the condition, until max_poll_seconds have passed
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}');
SELECT * FROM pgmq.read_with_poll('q', 100, 2, 5, 100, '3');
SELECT * FROM pgmq.read_with_poll('q', 100, 2, 1, 100, '{"no":1}');

-- read_with_poll without a limit polls until it is cancelled
SELECT pgmq.create('q');
SET statement_timeout = '500ms';
SELECT * FROM pgmq.read_with_poll('q', 100, 1, NULL, 50);
