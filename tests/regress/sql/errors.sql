-- What a wrong call raises; the SQLSTATE follows each.
\set SHOW_CONTEXT never
SELECT pgmq.create('errors');

-- Unknown queues.
SELECT pgmq.send('errors_none', '1');
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.read('errors_none', 30, 1);
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.metrics('errors_none');
\echo :LAST_ERROR_SQLSTATE

-- A null name, or one that no queue can have.
SELECT pgmq.send(null, '1');
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.read(null, 30, 1);
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.read('errors;', 30, 1);
\echo :LAST_ERROR_SQLSTATE

-- A vt of null, even though no message is there.
SELECT pgmq.read('errors', null, 1);
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.set_vt('errors', 1, null::integer);
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.extend('errors', 1, 1, null);
\echo :LAST_ERROR_SQLSTATE

-- A delay of null, as number or time; no msg_id is used up.
SELECT pgmq.send('errors', '1', null::integer);
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.send_batch('errors', '{1}', null::timestamptz);
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.send('errors', '1');

-- A negative qty.
SELECT pgmq.read('errors', 30, -1);
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.pop('errors', -1);
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.peek('errors', -1);
\echo :LAST_ERROR_SQLSTATE

-- A batch of nothing, and one with too few headers.
SELECT pgmq.send_batch('errors', '{}');
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.send_batch('errors', null);
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.send_batch('errors', '{1, 2}', '{3}'::jsonb[]);
\echo :LAST_ERROR_SQLSTATE

-- Only the message that was right is there.
SELECT msg_id, read_ct FROM pgmq.q_errors;

SELECT pgmq.drop_queue('errors');
