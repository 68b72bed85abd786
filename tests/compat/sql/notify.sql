-- enabling, listing, changing and disabling
SELECT pgmq.create('q'), pgmq.create('r');
SELECT * FROM pgmq.list_notify_insert_throttles();
SELECT pgmq.enable_notify_insert('q');
SELECT pgmq.enable_notify_insert('r', 0);
SELECT * FROM pgmq.list_notify_insert_throttles();
SELECT pgmq.enable_notify_insert('q', 1000);
SELECT * FROM pgmq.list_notify_insert_throttles();
SELECT pgmq.update_notify_insert('q', 0);
SELECT pgmq.update_notify_insert('r', 2147483647);
SELECT * FROM pgmq.list_notify_insert_throttles();
SELECT pgmq.disable_notify_insert('q');
SELECT pgmq.disable_notify_insert('q');
SELECT * FROM pgmq.list_notify_insert_throttles();
SELECT pgmq.update_notify_insert('q', 1);
SELECT pgmq.enable_notify_insert(queue_name => 'q', throttle_interval_ms => 7);
SELECT pgmq.update_notify_insert(queue_name => 'q', throttle_interval_ms => 8);
SELECT * FROM pgmq.list_notify_insert_throttles();

-- what is refused
SELECT pgmq.create('q');
SELECT pgmq.enable_notify_insert('nope');
SELECT pgmq.enable_notify_insert('nope', 5);
SELECT pgmq.enable_notify_insert(NULL);
SELECT pgmq.enable_notify_insert(NULL, 5);
SELECT pgmq.enable_notify_insert('q', -1);
SELECT pgmq.enable_notify_insert('nope', -1);
SELECT pgmq.update_notify_insert('nope', 5);
SELECT pgmq.update_notify_insert('nope', -5);
SELECT pgmq.update_notify_insert(NULL, 5);
SELECT pgmq.update_notify_insert('q', 5);
SELECT pgmq.update_notify_insert('q', -5);
SELECT pgmq.enable_notify_insert('q');
SELECT pgmq.update_notify_insert('q', -5);
SELECT pgmq.disable_notify_insert('nope');
SELECT * FROM pgmq.list_notify_insert_throttles();

-- the refused names
SELECT pgmq.enable_notify_insert('a$b');
SELECT pgmq.enable_notify_insert('a;b', -1);
SELECT pgmq.update_notify_insert('a;b', -1);
SELECT pgmq.update_notify_insert('a--b', 1);
SELECT pgmq.disable_notify_insert('a''b');

-- mixed case, spaces and unlogged
SELECT pgmq.create('MiXed'), pgmq.create('a b'), pgmq.create_unlogged('U');
SELECT pgmq.enable_notify_insert('MiXed');
SELECT pgmq.enable_notify_insert('a b', 1);
SELECT pgmq.enable_notify_insert('U', 2);
SELECT * FROM pgmq.list_notify_insert_throttles();
SELECT pgmq.update_notify_insert('MiXed', 3);
SELECT pgmq.update_notify_insert('U', 4);
SELECT * FROM pgmq.list_notify_insert_throttles();
SELECT pgmq.send('a b', '1');
SELECT * FROM pgmq.list_notify_insert_throttles();
SELECT pgmq.disable_notify_insert('MiXed');
SELECT pgmq.disable_notify_insert('U');
SELECT * FROM pgmq.list_notify_insert_throttles();

-- sending announces, and the list says when
SELECT pgmq.create('q');
SELECT pgmq.enable_notify_insert('q', 60000);
SELECT pgmq.send('q', '1');
SELECT * FROM pgmq.list_notify_insert_throttles();
SELECT pgmq.send_batch('q', '{1,2}');
SELECT pgmq.enable_notify_insert('q', 60000);
SELECT * FROM pgmq.list_notify_insert_throttles();
SELECT * FROM pgmq.read('q', 0, 5);

-- a queue that is dropped takes its settings with it
SELECT pgmq.create('q');
SELECT pgmq.enable_notify_insert('q');
SELECT pgmq.drop_queue('q');
SELECT * FROM pgmq.list_notify_insert_throttles();
SELECT pgmq.create('q');
SELECT * FROM pgmq.list_notify_insert_throttles();
SELECT pgmq.send('q', '1');

-- in a transaction that is rolled back
SELECT pgmq.create('q');
BEGIN;
SELECT pgmq.enable_notify_insert('q');
SELECT pgmq.send('q', '1');
SELECT queue_name FROM pgmq.list_notify_insert_throttles();
ROLLBACK;
SELECT queue_name FROM pgmq.list_notify_insert_throttles();
SELECT pgmq.send('q', '1');

-- a purged queue keeps its settings
SELECT pgmq.create('q');
SELECT pgmq.enable_notify_insert('q', 9);
SELECT pgmq.send('q', '1');
SELECT pgmq.purge_queue('q');
SELECT queue_name, throttle_interval_ms FROM pgmq.list_notify_insert_throttles();

-- the table of settings
SELECT pgmq.create('q'), pgmq.create('MiXed');
SELECT * FROM pgmq.notify_insert_throttle;
SELECT pgmq.enable_notify_insert(queue_name) FROM pgmq.list_queues();
SELECT * FROM pgmq.notify_insert_throttle;
UPDATE pgmq.notify_insert_throttle SET throttle_interval_ms = 60000 WHERE queue_name = 'q';
SELECT * FROM pgmq.list_notify_insert_throttles();
UPDATE pgmq.notify_insert_throttle SET last_notified_at = now() WHERE queue_name = 'q' RETURNING last_notified_at;
SELECT pgmq.send('q', '1');
SELECT * FROM pgmq.notify_insert_throttle;
SELECT * FROM pgmq.list_notify_insert_throttles();
UPDATE pgmq.notify_insert_throttle SET last_notified_at = to_timestamp(0);
SELECT * FROM pgmq.notify_insert_throttle;
DELETE FROM pgmq.notify_insert_throttle WHERE queue_name = 'q';
DELETE FROM pgmq.notify_insert_throttle WHERE queue_name = 'nope';
SELECT * FROM pgmq.notify_insert_throttle;
SELECT pgmq.enable_notify_insert('q', 0);
SELECT pgmq.send('q', '1');
SELECT queue_name, throttle_interval_ms FROM pgmq.notify_insert_throttle;
SELECT pgmq.drop_queue('q');
SELECT queue_name FROM pgmq.notify_insert_throttle;

-- the trigger calls the function of that name
SELECT pgmq.create('q'), pgmq.enable_notify_insert('q');
SELECT tgname FROM pg_trigger WHERE tgfoid = 'pgmq.notify_queue_listeners()'::regprocedure AND tgenabled = 'O';
SELECT pgmq.disable_notify_insert('q');
SELECT tgname FROM pg_trigger WHERE tgfoid = 'pgmq.notify_queue_listeners()'::regprocedure;
