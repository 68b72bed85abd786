-- What can be done with messages, without regard to who holds a lease.
\set SHOW_CONTEXT never
SELECT pgmq.create('messages');

-- A message, alone, with headers, with a delay in seconds, from a time on, and with both.
SELECT pgmq.send('messages', '{"n": 1}');
SELECT pgmq.send('messages', '{"n": 2}', '{"trace": "a"}'::jsonb);
SELECT pgmq.send('messages', '{"n": 3}', 3600);
SELECT pgmq.send('messages', '{"n": 4}', now() + interval '2 hours');
SELECT pgmq.send('messages', '{"n": 5}', '{"trace": "b"}'::jsonb, 3600);
SELECT pgmq.send('messages', '{"n": 6}', '{"trace": "c"}'::jsonb, now() - interval '1 hour');

-- Batches in the same six ways: msg_ids come in the array's order.
SELECT pgmq.send_batch('messages', ARRAY['{"n": 7}', '{"n": 8}']::jsonb[]);
SELECT pgmq.send_batch('messages', '{9, null}', ARRAY['{"trace": "d"}', null]::jsonb[]);
SELECT pgmq.send_batch('messages', '{11}', 3600);
SELECT pgmq.send_batch('messages', '{12}', now() + interval '2 hours');
SELECT pgmq.send_batch('messages', '{13}', '{14}'::jsonb[], 3600);
SELECT pgmq.send_batch('messages', '{14}', null::jsonb[], '-infinity'::timestamptz);

SELECT msg_id, read_ct, message, headers, vt > now() AS delayed
FROM pgmq.q_messages
ORDER BY msg_id;

-- A look at what a read would return; at one message, visible or not.
SELECT msg_id, read_ct, message FROM pgmq.peek('messages', 2);
SELECT msg_id FROM pgmq.peek('messages', null, '{"n": 6}');
SELECT msg_id, read_ct, message, headers FROM pgmq.get('messages', 5);
SELECT msg_id FROM pgmq.get('messages', 99);

-- Reading leases for vt seconds: up to qty messages, the smallest msg_id first.
SELECT
    msg_id,
    read_ct,
    last_read_at IS NOT NULL AS has_been_read,
    date_trunc('second', vt - last_read_at) AS leased_for
FROM pgmq.read('messages', 600, 2);

-- Only those that contain some JSON.
SELECT msg_id, message FROM pgmq.read('messages', 600, 10, '{"n": 8}');

-- A vt of zero leaves them visible; a null qty means all.
SELECT msg_id, read_ct, message FROM pgmq.read('messages', 0, null);
SELECT msg_id, read_ct FROM pgmq.read('messages', 0, 1);

-- Polling returns at once when there is something, and when the time is up.
SELECT msg_id, read_ct FROM pgmq.read_with_poll('messages', 600, 1, 60, 10);
SELECT msg_id FROM pgmq.read_with_poll('messages', 600, 1, 0, 10, '{"n": 99}');

-- Popping reads and deletes at once.
SELECT msg_id, read_ct, message FROM pgmq.pop('messages');
SELECT msg_id FROM pgmq.pop('messages', 2);
SELECT msg_id FROM pgmq.pop('messages', null);
SELECT msg_id FROM pgmq.pop('messages');

-- Now all are delayed or leased; the first to be visible again are those whose lease ends.
SELECT
    pgmq.next_visible_at('messages') > now() AS later,
    pgmq.next_visible_at('messages') < now() + interval '11 minutes' AS soon;

-- Making a message visible at another time, one or several, in seconds from now or at a time.
SELECT msg_id, read_ct, vt <= clock_timestamp() AS visible FROM pgmq.set_vt('messages', 3, 0);
SELECT msg_id, read_ct, vt FROM pgmq.set_vt('messages', 4, 'infinity'::timestamptz);
SELECT msg_id, read_ct, vt <= clock_timestamp() AS visible
FROM pgmq.set_vt('messages', '{5, 99, 1}'::bigint[], 0);
SELECT msg_id, read_ct, vt = now() + interval '1 hour' AS in_an_hour
FROM pgmq.set_vt('messages', '{11, 12}'::bigint[], now() + interval '1 hour');
SELECT msg_id FROM pgmq.set_vt('messages', 99, 0);
SELECT pgmq.next_visible_at('messages') <= clock_timestamp() AS visible;
SELECT msg_id, read_ct FROM pgmq.read('messages', 600, 10);

-- Removing messages, leased or not.
SELECT pgmq.delete('messages', 1);
SELECT pgmq.delete('messages', 1);
SELECT pgmq.delete('messages', '{1, 2, 3}'::bigint[]);

-- Keeping them in the archive instead.
SELECT pgmq.archive('messages', 4);
SELECT pgmq.archive('messages', 4);
SELECT pgmq.archive('messages', '{4, 5, 11}'::bigint[]);
SELECT msg_id, read_ct, message, headers, archived_at <= now() AS archived
FROM pgmq.a_messages
ORDER BY msg_id;

-- What is left; an empty queue has nothing to wait for.
SELECT msg_id, message
FROM pgmq.q_messages
ORDER BY msg_id;
SELECT pgmq.purge_queue('messages');
SELECT pgmq.next_visible_at('messages') IS NULL AS empty;

SELECT pgmq.drop_queue('messages');
