-- every overload of send stores what it is given
SELECT pgmq.create('q');
SELECT * FROM pgmq.send('q', '{"a":1}');
SELECT * FROM pgmq.send('q', '1', '{"h":1}'::jsonb);
SELECT * FROM pgmq.send('q', '1', 100);
SELECT * FROM pgmq.send('q', '1', now() + interval '100 s');
SELECT * FROM pgmq.send('q', '1', '[1]'::jsonb, 100);
SELECT * FROM pgmq.send('q', '1', '3'::jsonb, '2100-01-01'::timestamptz);
SELECT pgmq.send(queue_name => 'q', msg => '1');
SELECT pgmq.send(queue_name => 'q', msg => '1', headers => '{"k":"v"}');
SELECT pgmq.send(queue_name => 'q', msg => '1', delay => 0);
SELECT pgmq.send(queue_name => 'q', msg => '1', delay => now());
SELECT pgmq.send(queue_name => 'q', msg => '1', headers => NULL, delay => 0);
SELECT pgmq.send(delay => now(), headers => '{}', msg => '1', queue_name => 'q');

-- messages and headers may be NULL
SELECT pgmq.create('q');
SELECT pgmq.send('q', NULL);
SELECT pgmq.send('q', NULL, NULL::jsonb);
SELECT pgmq.send('q', 'null', 'null'::jsonb);
SELECT pgmq.send('q', NULL, NULL::jsonb, 0);
SELECT * FROM pgmq.read('q', 0, 10);
SELECT * FROM pgmq.pop('q', 2);
SELECT pgmq.archive('q', 3);

-- a delay far away is stored as given
SELECT pgmq.create('q');
SELECT pgmq.send('q', '1', 2147483647);
SELECT pgmq.send('q', '1', 'infinity'::timestamptz);
SELECT * FROM pgmq.read('q', 0, 10);

-- a delay that has passed makes a message visible at once
SELECT pgmq.create('q');
SELECT pgmq.send('q', '1', -1);
SELECT pgmq.send('q', '1', now() - interval '1 s');
SELECT pgmq.send_batch('q', '{1,2}', -1);
SELECT pgmq.send_batch('q', '{1,2}', now() - interval '1 s');
SELECT * FROM pgmq.read('q', 100, 10);

-- calls that no overload fits, or several, fail alike
SELECT pgmq.create('q');
SELECT pgmq.send('q', '1', NULL);
SELECT pgmq.send('q', '1', '{}');
SELECT pgmq.send('q', '1', NULL, NULL);
SELECT pgmq.send(queue_name => 'q', msg => '1', delay => '5');
SELECT pgmq.send('q', '1'::json);
SELECT pgmq.send('q', '1'::text);
SELECT pgmq.send('q', '1', 5::bigint);
SELECT pgmq.send('q', '1', interval '1 h');
SELECT pgmq.send('q', '{bad');
SELECT pgmq.send_batch('q', ARRAY['1']);
SELECT pgmq.send_batch('q', '{1,2}', '{3,4}');
SELECT pgmq.send_batch('q', '{1,2}', NULL);
SELECT pgmq.read('q');
SELECT pgmq.read('q', 10::bigint, 1);
SELECT pgmq.read('q', 10, 1::bigint);
SELECT pgmq.pop('q', 1::bigint);
SELECT pgmq.delete('q', NULL);
SELECT pgmq.delete('q', '1');
SELECT pgmq.delete('q', '{1}');
SELECT pgmq.archive('q', '1');
SELECT pgmq.set_vt('q', NULL, 0);
SELECT pgmq.set_vt('q', '1', 0);
SELECT pgmq.set_vt('q', 1, '5');

-- calls that need a cast to fit an overload are resolved alike
SELECT pgmq.create('q');
SELECT pgmq.send('q', '1', now()::timestamp);
SELECT pgmq.send('q', '1', current_date);
SELECT pgmq.send('q'::varchar, '1', 0::smallint);
SELECT pgmq.send('q'::name, '1', NULL, 0);
SELECT pgmq.send_batch('q', '{1,2}');
SELECT pgmq.send_batch('q', '{1,2}', '{3,4}', 0);
SELECT pgmq.send_batch('q', '{1,2}', NULL, 0);
SELECT pgmq.delete('q', 1::smallint);
SELECT pgmq.delete('q', ARRAY[2]::integer[]);
SELECT msg_id FROM pgmq.set_vt('q', 3, 100::smallint);

-- every overload of send_batch stores what it is given
SELECT pgmq.create('q');
SELECT * FROM pgmq.send_batch('q', '{1,2,3}');
SELECT * FROM pgmq.send_batch('q', '{1,2}', ARRAY['{"h":1}', '{"h":2}']::jsonb[]);
SELECT * FROM pgmq.send_batch('q', '{1,2}', 100);
SELECT * FROM pgmq.send_batch('q', '{1,2}', now() + interval '100 s');
SELECT * FROM pgmq.send_batch('q', '{1,2}', '{3,4}'::jsonb[], 100);
SELECT * FROM pgmq.send_batch('q', '{1,2}', '{3,4}'::jsonb[], 'infinity'::timestamptz);
SELECT pgmq.send_batch(queue_name => 'q', msgs => '{1}');
SELECT pgmq.send_batch(queue_name => 'q', msgs => '{1}', headers => '{2}');
SELECT pgmq.send_batch(queue_name => 'q', msgs => '{1}', delay => 100);
SELECT pgmq.send_batch(queue_name => 'q', msgs => '{1}', delay => now());
SELECT pgmq.send_batch(queue_name => 'q', msgs => '{1}', headers => '{2}', delay => 100);
SELECT pgmq.send_batch(delay => now(), headers => '{2}', msgs => '{1}', queue_name => 'q');
SELECT pgmq.send_batch('q', '{1,2}'), generate_series(1, 3);

-- a batch may contain NULLs, and no headers at all
SELECT pgmq.create('q');
SELECT * FROM pgmq.send_batch('q', '{1,NULL}');
SELECT * FROM pgmq.send_batch('q', '{NULL}');
SELECT * FROM pgmq.send_batch('q', '{1,2}', '{1,NULL}'::jsonb[]);
SELECT * FROM pgmq.send_batch('q', '{1,2}', NULL::jsonb[]);
SELECT * FROM pgmq.send_batch('q', '{1,2}', NULL::jsonb[], 0);

-- a batch without messages, or with too few or many headers, is refused
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{}');
SELECT pgmq.send_batch('q', NULL::jsonb[]);
SELECT pgmq.send_batch('q', '{}', 5);
SELECT pgmq.send_batch('q', '{}', now());
SELECT pgmq.send_batch('q', NULL, NULL::jsonb[]);
SELECT pgmq.send_batch('q', '{}', '{}'::jsonb[]);
SELECT pgmq.send_batch('q', '{1,2}', '{}'::jsonb[]);
SELECT pgmq.send_batch('q', '{1,2}', '{1}'::jsonb[]);
SELECT pgmq.send_batch('q', '{1,2}', '{1,2,3}'::jsonb[], 5);
SELECT pgmq.send_batch('q', '{1,2}', '{1,2,3}'::jsonb[], now());
SELECT pgmq.send_batch('nope', '{}');
SELECT pgmq.send_batch(NULL, '{}');
SELECT pgmq.send_batch('a$b', '{}');

-- arrays of other shapes are sent as upstream sends them
SELECT pgmq.create('q');
SELECT * FROM pgmq.send_batch('q', '{{1,2},{3,4}}');
SELECT * FROM pgmq.send_batch('q', '{{1,2},{3,4}}', '{{1,2},{3,4}}'::jsonb[]);
SELECT * FROM pgmq.send_batch('q', '[5:6]={1,2}', '[7:8]={3,4}'::jsonb[]);

-- send is called once for each row
SELECT pgmq.create('q');
SELECT pgmq.send('q', to_jsonb(g)) FROM generate_series(1, 3) g;
SELECT g, s FROM generate_series(1, 3) g, pgmq.send('q', to_jsonb(g), 0) s;

-- a sent message is the transaction's: rolled back with it, its id used up
SELECT pgmq.create('q');
BEGIN;
SELECT pgmq.send('q', '1');
SELECT pgmq.send_batch('q', '{2,3}');
SELECT * FROM pgmq.read('q', 100, 2);
ROLLBACK;
SELECT pgmq.send('q', '4');
BEGIN;
SAVEPOINT a;
SELECT pgmq.send('q', '5');
ROLLBACK TO a;
SELECT pgmq.send('q', '6');
COMMIT;
SELECT * FROM pgmq.read('q', 100, 10);

-- enqueued_at is when the transaction began, vt when the call was made
SELECT pgmq.create('q');
BEGIN;
SELECT pg_sleep(0.05);
SELECT pgmq.send('q', '1');
SELECT pgmq.send('q', '2', 100);
SELECT count(*) FROM pgmq.send_batch('q', '{3,4}');
SELECT msg_id, enqueued_at = now() FROM pgmq.q_q;
SELECT * FROM pgmq.read('q', 100, 10);
COMMIT;
