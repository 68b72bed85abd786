-- Policies: what becomes of a message that fails, is late, or comes twice.
\set SHOW_CONTEXT never
SELECT pgmq.create('policy');
SELECT pgmq.set_policy('policy', max_receives => 2, dead_letter_queue => 'policy_dead');
SELECT max_receives, dead_letter_queue, ack_archives FROM pgmq.get_policy('policy');
SELECT pgmq.send_batch('policy', '{"1","2"}');

-- Received twice, it is not handed out a third time: the next one is.
SELECT msg_id, read_ct FROM pgmq.read('policy', 600, 1);
SELECT pgmq.nack('policy', 1, 1, 0);
SELECT msg_id, read_ct FROM pgmq.read('policy', 600, 1);
SELECT pgmq.nack('policy', 1, 2, 0, 'broken');
SELECT msg_id, read_ct FROM pgmq.read('policy', 600, 1);
SELECT
    msg_id, message, headers - 'x-pgmq-dead-letter' AS headers,
    (headers -> 'x-pgmq-dead-letter') - 'at' - 'enqueued_at' AS why
FROM pgmq.peek('policy_dead');

-- Back to where it came from, as if it were new.
SELECT pgmq.redrive('policy_dead');
SELECT msg_id, read_ct, message, headers FROM pgmq.read('policy', 600, 1);
SELECT pgmq.redrive('policy_dead');

-- Sent once, whoever sends it again and in whatever way.
SELECT pgmq.set_policy('policy', dedup_window => '1 hour');
SELECT msg_id, is_new FROM pgmq.send_once('policy', '3', 'key');
SELECT msg_id, is_new FROM pgmq.send_once('policy', '3', 'key');
SELECT pgmq.send('policy', '3', '{"x-pgmq-dedup-id": "key"}'::jsonb);
SELECT msg_id, is_new FROM pgmq.send_once('policy', '{3,4,4}'::jsonb[], '{key,other,other}');

-- A time to live of its own.
SELECT pgmq.set_policy('policy', message_ttl => '1 hour', ack_archives => true);
SELECT pgmq.purge_queue('policy');
SELECT pgmq.send('policy', '5', '{"x-pgmq-ttl": 0}'::jsonb);
SELECT count(*) FROM pgmq.read('policy', 600, 1);
SELECT message, headers #>> '{x-pgmq-dead-letter,reason}' AS reason FROM pgmq.a_policy;

-- No more leases than the cap leaves.
SELECT pgmq.set_policy('policy', max_in_flight => 2);
SELECT count(*) FROM pgmq.send_batch('policy', '{6,7,8}');
SELECT message FROM pgmq.read('policy', 600, 10);
SELECT message FROM pgmq.read('policy', 600, 10);

-- Strict priorities, and moving one message.
SELECT pgmq.create('policy_low');
SELECT pgmq.send('policy_low', '9');
SELECT queue_name, message FROM pgmq.read_any('{policy,policy_low}', 0, 10);
SELECT pgmq.move('policy_low', 1, 'policy_dead');
SELECT pgmq.move('policy_low', 1, 'policy_dead');

-- What makes no sense.
SELECT pgmq.set_policy('policy', max_receives => 0);
SELECT pgmq.set_policy('policy', max_receives => 1, dead_letter_queue => 'policy');
SELECT pgmq.set_policy('policy', dead_letter_queue => 'policy_dead');
SELECT pgmq.send_once('policy', '3', 'key');
SELECT pgmq.set_policy('policy', max_receives => 1, dead_letter_queue => 'policy_dead');
SELECT pgmq.drop_queue('policy_dead');
SELECT pgmq.maintain('policy');
SELECT pgmq.drop_queue('policy');
SELECT pgmq.drop_queue('policy_low');
SELECT pgmq.drop_queue('policy_dead');
