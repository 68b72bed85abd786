-- Exchanges: publish once, and every queue and channel with a matching binding gets one copy.
\set SHOW_CONTEXT never
SELECT pgmq.create_exchange('shop');
SELECT pgmq.create('exchanges_all');
SELECT pgmq.create('exchanges_eu');
SELECT pgmq.create('exchanges_big');

-- Words with dots between them: * is exactly one, # any number.
SELECT pgmq.bind('shop', 'exchanges_all', 'orders.#');
SELECT pgmq.bind('shop', 'exchanges_eu', 'orders.*.eu');
SELECT pgmq.bind('shop', 'exchanges_eu', 'orders.eu', 'direct');
SELECT pgmq.bind('shop', 'exchanges_big', '\.(big|huge)$', 'regex');
SELECT exchange_name, queue_name, channel, pattern, kind FROM pgmq.list_bindings('shop');

-- The number of queues that got it.
SELECT pgmq.publish('shop', 'orders', '{"id": 1}');
SELECT pgmq.publish('shop', 'orders.new.eu', '{"id": 2}', '{"trace": "abc"}');
SELECT pgmq.publish('shop', 'orders.eu', '{"id": 3}', delay => 60);
SELECT pgmq.publish('shop', 'returns.big', '{"id": 4}');
SELECT pgmq.publish('shop', 'nothing', '{"id": 5}');
SELECT msg_id, message, headers, vt > now() AS delayed
FROM pgmq.q_exchanges_all
ORDER BY msg_id;
SELECT msg_id, message
FROM pgmq.q_exchanges_eu
ORDER BY msg_id;
SELECT msg_id, message
FROM pgmq.q_exchanges_big
ORDER BY msg_id;

-- A channel is told, and nothing is stored.
SELECT pgmq.bind_channel('shop', 'shop_news', null, 'fanout');
SELECT pgmq.publish('shop', 'nothing', '{"id": 6}');
SELECT pgmq.unbind_channel('shop', 'shop_news', null, 'fanout');
SELECT pgmq.unbind_channel('shop', 'shop_news', null, 'fanout');
SELECT pgmq.unbind('shop', 'exchanges_all', 'orders.#');
SELECT pgmq.unbind('shop', 'exchanges_all', 'orders.#');
SELECT pgmq.publish('shop', 'orders', '{"id": 7}');

-- Doing it again changes nothing.
SELECT pgmq.create_exchange('shop');
SELECT pgmq.bind('shop', 'exchanges_eu', 'orders.eu', 'direct');

-- Names and keys that are null, too long or unknown.
SELECT pgmq.create_exchange(null);
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.create_exchange('');
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.create_exchange(repeat('x', 256));
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.create_exchange(E'a\nb');
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.publish('none', 'orders', '1');
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.publish(null, 'orders', '1');
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.publish('shop', null, '1');
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.publish('shop', repeat('x', 256), '1');
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.publish('shop', 'nothing', '1', delay => null);
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.bind('none', 'exchanges_eu', '#');
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.bind(null, 'exchanges_eu', '#');
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.bind('shop', 'exchanges_none', '#');
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.bind('shop', null, '#');
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.bind_channel('none', 'news', '#');
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.bind_channel('shop', null, '#');
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.bind_channel('shop', '', '#');
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.bind_channel('shop', repeat('x', 64), '#');
\echo :LAST_ERROR_SQLSTATE

-- Patterns that mean nothing, or not what they seem to.
SELECT pgmq.bind('shop', 'exchanges_eu', 'a', 'headers');
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.bind('shop', 'exchanges_eu', 'a', null);
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.bind('shop', 'exchanges_eu', null);
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.bind('shop', 'exchanges_eu', 'x#y');
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.bind('shop', 'exchanges_eu', 'x.**');
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.bind('shop', 'exchanges_eu', repeat('x', 256));
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.bind('shop', 'exchanges_eu', '(', 'regex');
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.bind('shop', 'exchanges_eu', 'a', 'fanout');
\echo :LAST_ERROR_SQLSTATE
SELECT pgmq.unbind('shop', 'exchanges_eu', 'a', 'headers');
\echo :LAST_ERROR_SQLSTATE

-- An exchange takes its bindings with it, and leaves the queues alone.
SELECT pgmq.drop_exchange('shop');
SELECT pgmq.drop_exchange('shop');
SELECT count(*) FROM pgmq.list_bindings();
SELECT queue_name
FROM pgmq.meta
WHERE queue_name LIKE 'exchanges%'
ORDER BY queue_name;
SELECT pgmq.drop_queue(queue_name)
FROM pgmq.list_queues()
WHERE queue_name LIKE 'exchanges%';
