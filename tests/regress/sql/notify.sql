-- Notifications of inserts, and waiting for a queue by await.
\set SHOW_CONTEXT never
SELECT pgmq.create('news');
SELECT pgmq.create_unlogged('Fleeting News');

-- Inserts are announced on a channel of the queue when they commit, but for those that follow
-- another within so many milliseconds.
SELECT pgmq.enable_notify_insert('news');
SELECT pgmq.enable_notify_insert('Fleeting News', 0);
SELECT queue_name, throttle_interval_ms, last_notified_at = 'epoch' AS never
FROM pgmq.list_notify_insert_throttles();
SELECT pgmq.send('news', '1');
SELECT queue_name, last_notified_at > now() - interval '1 minute' AS just_now
FROM pgmq.list_notify_insert_throttles();
SELECT pgmq.update_notify_insert('news', 1000);
SELECT queue_name, throttle_interval_ms
FROM pgmq.list_notify_insert_throttles();

-- Names are not case-sensitive.
SELECT pgmq.disable_notify_insert('FLEETING news');
SELECT pgmq.disable_notify_insert('Fleeting News');
SELECT queue_name, throttle_interval_ms
FROM pgmq.list_notify_insert_throttles();

-- What is refused.
UPDATE pgmq.notify_insert_throttle SET queue_name = 'other';
SELECT pgmq.enable_notify_insert('nope');
SELECT pgmq.enable_notify_insert('a;b');
SELECT pgmq.enable_notify_insert('news', -1);
SELECT pgmq.enable_notify_insert('news', null);
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.update_notify_insert('nope', 1);
SELECT pgmq.update_notify_insert('news', -1);
SELECT pgmq.update_notify_insert('Fleeting News', 1);
SELECT pgmq.disable_notify_insert('nope');

-- Waiting: await listens, and says when to look again at the latest.
SELECT pgmq.await('news');
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.enable_wakeups('news');
SELECT pgmq.enable_wakeups('news');
SELECT pgmq.purge_queue('news');
SELECT pgmq.await('news') > now() + interval '4 seconds' AS full_time;
SELECT channel FROM pg_listening_channels() AS channel;
UNLISTEN *;     -- its own notifications would show a PID
SELECT pgmq.send('news', '2', 2);
SELECT pgmq.await('news', 60) = pgmq.next_visible_at('news') AS next_message;
UNLISTEN *;
SELECT pgmq.send('news', '3');
SELECT pgmq.await('news', 60) - clock_timestamp() <= interval '0.1 seconds' AS soon;
SELECT pgmq.await('news', 0);
SELECT pgmq.await('news', 3601);
SELECT pgmq.await('news', null);
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.await('nope');
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.enable_wakeups('nope');
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.disable_wakeups('nope');
\echo :LAST_ERROR_SQLSTATE
UNLISTEN *;
SELECT pgmq.disable_wakeups('news');
SELECT pgmq.disable_wakeups('news');
SELECT pgmq.await('news');

-- A queue takes its settings with it.
SELECT count(pgmq.drop_queue(queue_name))
FROM pgmq.list_queues()
WHERE queue_name LIKE '%ews';
SELECT queue_name
FROM pgmq.list_notify_insert_throttles();
