-- What a queue says of itself.
SELECT pgmq.create('metrics_one');
SELECT pgmq.create('metrics_two');

-- An empty queue has no ages.
SELECT
    queue_name,
    queue_length,
    queue_visible_length,
    newest_msg_age_sec,
    oldest_msg_age_sec,
    total_messages
FROM pgmq.metrics('metrics_one');

-- Two visible messages, a delayed one and a leased one.
SELECT pgmq.send_batch('metrics_one', '{1, 2, 3}');
SELECT pgmq.send('metrics_one', '4', 3600);
SELECT msg_id FROM pgmq.read('metrics_one', 600, 1);
SELECT queue_length, queue_visible_length, total_messages FROM pgmq.metrics('metrics_one');

-- Ages are in seconds since a message was sent, visible or not.
UPDATE pgmq.q_metrics_one SET enqueued_at = enqueued_at - interval '1 hour'
WHERE msg_id = 1;
SELECT
    newest_msg_age_sec BETWEEN 0 AND 60 AS newest_is_new,
    oldest_msg_age_sec BETWEEN 3600 AND 3660 AS oldest_is_old,
    scrape_time = now() AS scraped_now
FROM pgmq.metrics('metrics_one');

-- total_messages counts the msg_ids that were drawn, so it does not go down.
SELECT pgmq.purge_queue('metrics_one');
SELECT queue_length, queue_visible_length, total_messages FROM pgmq.metrics('metrics_one');

-- All queues; names are matched without regard to case.
SELECT pgmq.send('metrics_two', '1');
SELECT queue_name, queue_length, total_messages, default_partition_length
FROM pgmq.metrics_all()
WHERE queue_name LIKE 'metrics%'
ORDER BY queue_name;
SELECT queue_name, queue_length FROM pgmq.metrics('METRICS_TWO');

SELECT pgmq.drop_queue('metrics_one');
SELECT pgmq.drop_queue('metrics_two');
