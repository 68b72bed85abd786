-- A lease is a msg_id with the read_ct that came with it: whoever reads the message later has
-- another one, and the first is stale.
\set SHOW_CONTEXT never
SELECT pgmq.create('leases');
SELECT pgmq.send_batch('leases', '{1, 2, 3, 4, 5, 6}');

-- Acknowledging removes the message.
SELECT msg_id, read_ct FROM pgmq.read('leases', 600, 1);
SELECT pgmq.ack('leases', 1, 1);
SELECT pgmq.ack('leases', 1, 1);

-- Nobody has a lease of a message that was never read.
SELECT pgmq.ack('leases', 2, 0);

-- A lease is stale once another reader has the message; here the first one let it end at once.
SELECT msg_id, read_ct FROM pgmq.read('leases', 0, 1);
SELECT msg_id, read_ct FROM pgmq.read('leases', 600, 1);
SELECT pgmq.ack('leases', 2, 1);
SELECT pgmq.nack('leases', 2, 1);
SELECT pgmq.extend('leases', 2, 1, 60);

-- The second one keeps it for longer than it first asked for,
SELECT pgmq.extend('leases', 2, 2, 3600);
SELECT vt > now() + interval '30 minutes' AS kept FROM pgmq.get('leases', 2);

-- then returns it: visible at once,
SELECT pgmq.nack('leases', 2, 2);
SELECT msg_id, read_ct FROM pgmq.read('leases', 600, 1);

-- or after a delay; the error stays with the message.
SELECT pgmq.nack('leases', 2, 3, 3600, 'no disk space');
SELECT msg_id, read_ct, headers, vt > now() AS delayed FROM pgmq.get('leases', 2);

-- Several leases at once: what is returned are the msg_ids whose lease was the caller's.
SELECT msg_id, read_ct FROM pgmq.read('leases', 600, 3);
SELECT pgmq.extend('leases', '{3, 4, 99}'::bigint[], '{1, 7, 1}'::integer[], 60);
SELECT pgmq.nack('leases', '{4, 5}'::bigint[], '{1, 7}'::integer[], 3600, 'not today');
SELECT pgmq.ack('leases', '{3, 4}'::bigint[], '{1, 7}'::integer[]);

-- Acknowledging a batch and leasing the next is one call.
SELECT msg_id, read_ct FROM pgmq.ack_and_read('leases', 600, 10, '{5}', '{1}');
SELECT msg_id, read_ct FROM pgmq.ack_and_read('leases', 600, 10, '{6}', '{1}');
SELECT msg_id, read_ct, message, headers
FROM pgmq.q_leases
ORDER BY msg_id;

-- Each msg_id needs its read_ct.
SELECT pgmq.ack('leases', '{2, 4}'::bigint[], '{3}'::integer[]);
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.nack('leases', '{2}'::bigint[], '{}'::integer[]);
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.extend('leases', '{2}'::bigint[], null::integer[], 60);
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.ack_and_read('leases', 600, 1, null, '{1, 2}');
\echo :LAST_ERROR_SQLSTATE

-- None is fine.
SELECT pgmq.ack('leases', '{}'::bigint[], '{}'::integer[]);
SELECT pgmq.ack_and_read('leases', 600, 1, null, null);

SELECT pgmq.drop_queue('leases');
