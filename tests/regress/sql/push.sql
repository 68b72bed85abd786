-- Push delivery: three messages, one slot; each acknowledgement pushes the next message. psql shows
-- a notification with the number of a process, so it is thrown away, and get() shows what it had.
\set SHOW_CONTEXT never
SELECT pgmq.create('push');
SELECT pgmq.open_channel('push', maximum_messages => 1, vt => 600) AS channel \gset
SELECT l = :'channel' AS listens FROM pg_listening_channels() AS l;

\o /dev/null
SELECT pgmq.send_batch('push', '{1, 2, 3}');
\o
SELECT queue_name, maximum_messages, vt, in_flight, pid = pg_backend_pid() AS mine
FROM pgmq.list_channels();
SELECT msg_id, read_ct, vt > now() AS leased
FROM pgmq.q_push
ORDER BY msg_id;

-- The first is acknowledged: the second is out.
\o /dev/null
SELECT pgmq.ack('push', 1, 1) AS acked \gset
\o
\echo :acked
SELECT msg_id, read_ct, vt > now() AS leased
FROM pgmq.q_push
ORDER BY msg_id;

-- The second fails, and is to come again in ten minutes: the third is out.
\o /dev/null
SELECT pgmq.nack('push', 2, 1, 600, 'no stock');
\o
SELECT msg_id, read_ct, headers, vt > now() AS leased
FROM pgmq.q_push
ORDER BY msg_id;

-- The fourth is too long for a notification: get() has it.
\o /dev/null
SELECT pgmq.send('push', to_jsonb(repeat('x', 10000)));
SELECT pgmq.archive('push', 3);
\o
SELECT msg_id, read_ct, length(message ->> 0) AS length FROM pgmq.get('push', 4);
SELECT in_flight FROM pgmq.list_channels();

-- Closing the channel returns what is not acknowledged.
SELECT pgmq.close_channel(:'channel');
SELECT count(*) FROM pgmq.list_channels();
SELECT count(*) FROM pg_listening_channels();
SELECT msg_id, read_ct FROM pgmq.read('push', 600, 10);

-- Nobody is pushed to, and then nothing is left of it.
SELECT pgmq.send('push', '5');
SELECT pgmq.close_dead_channels();
SELECT pgmq.disable_push('push');
SELECT count(*)
FROM pg_trigger
WHERE tgrelid = 'pgmq.q_push'::regclass;

-- Errors.
SELECT pgmq.open_channel('nope');
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.open_channel('push', 0);
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.open_channel('push', 1, null);
\echo :LAST_ERROR_SQLSTATE
