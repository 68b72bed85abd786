-- a message goes to each queue with a matching pattern, once
SELECT pgmq.create('a'), pgmq.create('b'), pgmq.create('Mixed'), pgmq.create_unlogged('u');
SELECT pgmq.bind_topic('orders.*', 'a');
SELECT pgmq.bind_topic('orders.#', 'a');
SELECT pgmq.bind_topic('orders.eu', 'b');
SELECT pgmq.bind_topic('#', 'Mixed');
SELECT pgmq.bind_topic('#.eu', 'u');
SELECT pgmq.bind_topic('*', 'u');
SELECT pgmq.send_topic('orders.eu', '{"n":1}');
SELECT pgmq.send_topic('orders.us', '{"n":2}');
SELECT pgmq.send_topic('orders', '{"n":3}');
SELECT pgmq.send_topic('orders.eu.now', '{"n":4}');
SELECT pgmq.send_topic('nothing.at-all', '5');
SELECT * FROM pgmq.test_routing('orders.eu');
SELECT * FROM pgmq.test_routing('orders');
SELECT * FROM pgmq.test_routing('x_y');
SELECT * FROM pgmq.read('a', 100, 10);

-- without a binding that matches nothing is sent
SELECT pgmq.send_topic('a', '1');
SELECT * FROM pgmq.send_batch_topic('a', '{1,2}');
SELECT pgmq.create('q');
SELECT pgmq.bind_topic('b', 'q');
SELECT pgmq.send_topic('a', '1');
SELECT pgmq.send_topic('a', '1', 5);
SELECT * FROM pgmq.send_batch_topic('a', '{1,2}', now());

-- every overload of send_topic stores what it is given
SELECT pgmq.create('q');
SELECT pgmq.bind_topic('a', 'q');
SELECT pgmq.send_topic('a', '{"n":1}');
SELECT pgmq.send_topic('a', 'null');
SELECT pgmq.send_topic('a', '1', 100);
SELECT pgmq.send_topic('a', '1', '{"h":1}'::jsonb, 100);
SELECT pgmq.send_topic('a', '1', NULL::jsonb, 0);
SELECT pgmq.send_topic(routing_key => 'a', msg => '1');
SELECT pgmq.send_topic(routing_key => 'a', msg => '1', delay => 3);
SELECT pgmq.send_topic(delay => 3, headers => '{}', msg => '1', routing_key => 'a');
SELECT * FROM pgmq.send_topic('a', '1');
SELECT pgmq.send_topic('a', to_jsonb(g)) FROM generate_series(1, 3) g;

-- every overload of send_batch_topic stores what it is given
SELECT pgmq.create('q'), pgmq.create('r');
SELECT pgmq.bind_topic('a', 'q');
SELECT pgmq.bind_topic('#', 'r');
SELECT pgmq.bind_topic('*', 'r');
SELECT * FROM pgmq.send_batch_topic('a', '{1,2,NULL}');
SELECT * FROM pgmq.send_batch_topic('a', '{1,2}', ARRAY['{"h":1}', NULL]::jsonb[]);
SELECT * FROM pgmq.send_batch_topic('a', '{1,2}', NULL::jsonb[]);
SELECT * FROM pgmq.send_batch_topic('a', '{1,2}', 100);
SELECT * FROM pgmq.send_batch_topic('a', '{1,2}', -1);
SELECT * FROM pgmq.send_batch_topic('a', '{1,2}', now() + interval '100 s');
SELECT * FROM pgmq.send_batch_topic('a', '{1,2}', '{3,4}'::jsonb[], 100);
SELECT * FROM pgmq.send_batch_topic('a', '{1,2}', '{3,4}'::jsonb[], '2100-01-01'::timestamptz);
SELECT pgmq.send_batch_topic(routing_key => 'a', msgs => '{1}', headers => '{2}', delay => 100);

-- what send_topic refuses
SELECT pgmq.create('q');
SELECT pgmq.bind_topic('#', 'q');
SELECT pgmq.send_topic(NULL, '1');
SELECT pgmq.send_topic('', '1');
SELECT pgmq.send_topic('a b', '1');
SELECT pgmq.send_topic('a.*', '1');
SELECT pgmq.send_topic('a', NULL);
SELECT pgmq.send_topic('a', NULL, 5);
SELECT pgmq.send_topic('a', NULL, '{}'::jsonb, 5);
SELECT pgmq.send_topic('a', '1', -1);
SELECT pgmq.send_topic('a', '1', '{}'::jsonb, -1);
SELECT pgmq.send_topic(NULL, NULL, NULL::jsonb, -1);
SELECT pgmq.send_topic('a', NULL, NULL::jsonb, -1);
SELECT pgmq.send_topic('a', '1', '{}');
SELECT pgmq.test_routing(NULL);
SELECT pgmq.test_routing('#');
SELECT pgmq.send_batch_topic(NULL, '{}');
SELECT pgmq.send_batch_topic('a.', '{1}');
SELECT pgmq.send_batch_topic('a', '{}');
SELECT pgmq.send_batch_topic('a', NULL);
SELECT pgmq.send_batch_topic('a', '{1,2}', '{3}'::jsonb[]);
SELECT pgmq.send_batch_topic('a', '{1,2}', '{3}'::jsonb[], 5);
SELECT pgmq.send_batch_topic('b', '{1,2}', '{3}'::jsonb[], now());

-- what bind_topic and unbind_topic refuse
SELECT pgmq.create('q');
SELECT pgmq.bind_topic(NULL, 'q');
SELECT pgmq.bind_topic('', 'q');
SELECT pgmq.bind_topic('a', NULL);
SELECT pgmq.bind_topic('a', '');
SELECT pgmq.bind_topic('a', 'nope');
SELECT pgmq.bind_topic('a b', 'nope');
SELECT pgmq.bind_topic('a', 'no''pe');
SELECT pgmq.unbind_topic(NULL, 'q');
SELECT pgmq.unbind_topic('', NULL);
SELECT pgmq.unbind_topic('a', NULL);
SELECT pgmq.unbind_topic('a', '');
SELECT pgmq.unbind_topic('a b', 'q');
SELECT pgmq.unbind_topic('a', 'nope');

-- binding twice is one binding, unbinding twice is false
SELECT pgmq.create('q'), pgmq.create('r');
SELECT pgmq.bind_topic('a.*', 'q');
SELECT pgmq.bind_topic('a.*', 'q');
SELECT pgmq.bind_topic('a.*', 'r');
SELECT pgmq.bind_topic('a.#', 'q');
SELECT * FROM pgmq.list_topic_bindings();
SELECT * FROM pgmq.list_topic_bindings('q');
SELECT * FROM pgmq.list_topic_bindings('nope');
SELECT * FROM pgmq.list_topic_bindings(NULL);
SELECT pgmq.unbind_topic('a.*', 'q');
SELECT pgmq.unbind_topic('a.*', 'q');
SELECT pgmq.send_topic('a.b', '1');

-- a queue that is dropped is no longer bound
SELECT pgmq.create('q'), pgmq.create('r');
SELECT pgmq.bind_topic('#', 'q');
SELECT pgmq.bind_topic('#', 'r');
SELECT pgmq.drop_queue('q');
SELECT * FROM pgmq.list_topic_bindings();
SELECT pgmq.send_topic('a', '1');

-- rows inserted by hand count, with the expression that upstream would compile
SELECT pgmq.create('q');
INSERT INTO pgmq.topic_bindings (pattern, queue_name) SELECT p, 'q' FROM unnest(ARRAY['a+b', '[x]', 'a\b', '\', '^$', '(a|b)', '{1}', '?', '%_', 'ä', '**', '##', '.', 'a]', '[[:alpha:]]', '[.a.]', '', E'a\nb', '-*.#']) p;
SELECT pattern, compiled_regex FROM pgmq.list_topic_bindings('q');
SELECT * FROM pgmq.test_routing('ab');
SELECT * FROM pgmq.test_routing('-a.');
SELECT * FROM pgmq.test_routing('-a.b');
INSERT INTO pgmq.topic_bindings (pattern, queue_name) VALUES ('.', 'q');
INSERT INTO pgmq.topic_bindings (pattern, queue_name) VALUES (NULL, 'q');
INSERT INTO pgmq.topic_bindings VALUES ('z', 'q', now());
