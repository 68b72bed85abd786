-- How queues come and go, and which names they cannot have.
\set SHOW_CONTEXT never

-- A queue, and one that is not written to the WAL; create_non_partitioned is create.
SELECT pgmq.create('queues_plain');
SELECT pgmq.create_non_partitioned('Queues Mixed');
SELECT pgmq.create_unlogged('queues_unlogged');

SELECT queue_name, is_partitioned, is_unlogged, created_at <= now() AS created
FROM pgmq.list_queues()
WHERE queue_name ILIKE 'queues%'
ORDER BY lower(queue_name);

-- Creating it again does nothing but a notice.
SELECT pgmq.create('queues_plain');

-- A queue is a table of messages, and one for the archive. Their names are lower-case.
SELECT
    pgmq.format_table_name('Queues Mixed', 'q') AS messages,
    pgmq.format_table_name('Queues Mixed', 'a') AS archive;

SELECT relname, relpersistence
FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'pgmq'::regnamespace AND relname ~ '^[qa]_queues'
ORDER BY relname;

-- So names are not case-sensitive, and a second one for the same tables is refused.
SELECT pgmq.send('QUEUES MIXED', '1');
SELECT pgmq.create('queues mixed');
\echo :LAST_ERROR_SQLSTATE

-- Refused as well: a name that is null, that is too long, that has characters a name cannot have,
SELECT pgmq.create(null);
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.create(repeat('x', 48));
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.create('queues$');
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.create('queues; --');
\echo :LAST_ERROR_SQLSTATE

-- or whose table is there as something else.
CREATE VIEW pgmq.q_queues_view AS SELECT 1 AS one;
SELECT pgmq.create('queues_view');
\echo :LAST_ERROR_SQLSTATE
DROP VIEW pgmq.q_queues_view;

-- The longest name.
SELECT pgmq.create('queues_' || repeat('x', 40));
SELECT pgmq.drop_queue('queues_' || repeat('x', 40));

-- Purging deletes every message, leased ones too, but neither the archive nor the count of ids.
SELECT pgmq.send_batch('queues_plain', '{1,2,3}');
SELECT pgmq.archive('queues_plain', 1);
SELECT msg_id FROM pgmq.read('queues_plain', 600, 1);
SELECT pgmq.purge_queue('queues_plain');
SELECT pgmq.purge_queue('queues_plain');
SELECT msg_id FROM pgmq.a_queues_plain;
SELECT pgmq.send('queues_plain', '4');

-- A leftover of pgmq 1.
SELECT pgmq.detach_archive('queues_plain');

-- Dropping a queue takes its archive along. The form with two arguments is a leftover too.
SELECT pgmq.drop_queue('queues_plain');
SELECT pgmq.drop_queue('queues_unlogged', false);
SELECT pgmq.drop_queue('Queues Mixed');
SELECT count(*)
FROM pg_class
WHERE relnamespace = 'pgmq'::regnamespace AND relname ~ 'queues';

-- There is nothing left to drop.
SELECT pgmq.drop_queue('queues_plain');
SELECT pgmq.purge_queue('queues_plain');
\echo :LAST_ERROR_SQLSTATE
