-- Topics, as pgmq 1.13 has them: send to a routing key, and every queue bound with a pattern that
-- matches gets one copy.
\set SHOW_CONTEXT never
SELECT pgmq.create('topics_all');
SELECT pgmq.create('topics_eu');
SELECT pgmq.create('topics_new');

-- A * stands for one or more characters other than a dot, a # for any.
SELECT pgmq.bind_topic('orders.#', 'topics_all');
SELECT pgmq.bind_topic('orders.eu.*', 'topics_eu');
SELECT pgmq.bind_topic('#.created', 'topics_new');
SELECT pgmq.bind_topic('*.*.created', 'topics_new');
SELECT pattern, queue_name, compiled_regex
FROM pgmq.list_topic_bindings()
ORDER BY pattern COLLATE "C";
SELECT pattern
FROM pgmq.list_topic_bindings('topics_new')
ORDER BY pattern COLLATE "C";

-- What would get a message, and sending it: the number of queues.
SELECT pattern, queue_name
FROM pgmq.test_routing('orders.eu.created')
ORDER BY pattern COLLATE "C";
SELECT pgmq.send_topic('orders.eu.created', '{"id": 1}');
SELECT pgmq.send_topic('orders.us.created', '{"id": 2}', '{"trace": "abc"}'::jsonb, 0);
SELECT pgmq.send_topic('orders.eu.paid', '{"id": 3}', 60);

-- As upstream has it, orders.# does not match orders.
SELECT pgmq.send_topic('orders', '{"id": 4}');
SELECT msg_id, message, headers
FROM pgmq.q_topics_all
ORDER BY msg_id;
SELECT msg_id, message, vt > now() AS delayed
FROM pgmq.q_topics_eu
ORDER BY msg_id;
SELECT msg_id, message
FROM pgmq.q_topics_new
ORDER BY msg_id;

-- Several messages at once.
SELECT queue_name, msg_id
FROM pgmq.send_batch_topic('orders.eu.paid', ARRAY['{"id": 5}', '{"id": 6}']::jsonb[]);

SELECT pgmq.unbind_topic('orders.#', 'topics_all');
SELECT pgmq.unbind_topic('orders.#', 'topics_all');
SELECT pgmq.send_topic('orders.fr', '7');

-- What is refused.
SELECT pgmq.bind_topic('orders.##', 'topics_all');
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.bind_topic('orders.#', 'topics_none');
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.send_topic('orders.*', '1');
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.send_topic('orders', null);
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.send_topic('orders', '1', null::integer);
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.send_topic('orders', '1', -1);
\echo :LAST_ERROR_SQLSTATE

-- A queue takes its bindings with it.
SELECT pgmq.drop_queue(queue_name)
FROM pgmq.list_queues()
WHERE queue_name LIKE 'topics%';
SELECT count(*) FROM pgmq.topic_bindings;
