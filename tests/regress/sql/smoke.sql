-- A message's life, from create to drop_queue.
SELECT pgmq.create('smoke');

SELECT pgmq.send('smoke', '{"hello": "world"}');

SELECT msg_id, read_ct, message FROM pgmq.read('smoke', 30, 1);

-- It is leased: nobody else gets it.
SELECT msg_id FROM pgmq.read('smoke', 30, 1);

SELECT pgmq.drop_queue('smoke');
