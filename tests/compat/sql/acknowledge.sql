-- delete says what it deleted
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', array_agg(to_jsonb(g))) FROM generate_series(1, 12) g;
SELECT pgmq.delete('q', 1);
SELECT pgmq.delete('q', 1);
SELECT pgmq.delete('q', 1000);
SELECT pgmq.delete('q', NULL::bigint);
SELECT pgmq.delete(queue_name => 'q', msg_id => 2);
SELECT * FROM pgmq.delete('q', 3);
SELECT * FROM pgmq.delete('q', ARRAY[5, 4, 4, NULL, 1000]);
SELECT * FROM pgmq.delete('q', '{}'::bigint[]);
SELECT * FROM pgmq.delete('q', NULL::bigint[]);
SELECT * FROM pgmq.delete('q', ARRAY[[6, 7], [8, 9]]);
SELECT pgmq.delete(queue_name => 'q', msg_ids => '{10,11}');

-- archive moves every column, and says what it moved
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', array_agg(to_jsonb(g)), array_agg(to_jsonb(-g)))
    FROM generate_series(1, 12) g;
SELECT count(*) FROM pgmq.read('q', 100, 2);
SELECT count(*) FROM pgmq.set_vt('q', 3, 'infinity'::timestamptz);
SELECT pgmq.archive('q', 1);
SELECT pgmq.archive('q', 1);
SELECT pgmq.archive('q', 1000);
SELECT pgmq.archive('q', NULL::bigint);
SELECT pgmq.archive(queue_name => 'q', msg_id => 2);
SELECT * FROM pgmq.archive('q', 3);
SELECT * FROM pgmq.archive('q', ARRAY[5, 4, 4, NULL, 1000]);
SELECT * FROM pgmq.archive('q', '{}'::bigint[]);
SELECT * FROM pgmq.archive('q', NULL::bigint[]);
SELECT * FROM pgmq.archive('q', ARRAY[[6, 7], [8, 9]]);
SELECT pgmq.archive(queue_name => 'q', msg_ids => '{10,11}');

-- what the archive already holds is not archived again
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}');
INSERT INTO pgmq.a_q (msg_id, vt) VALUES (2, now());
SELECT pgmq.archive('q', 2);
SELECT pgmq.archive('q', '{1,2}'::bigint[]);

-- archived_at is when the transaction began
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}');
BEGIN;
SELECT pgmq.archive('q', 1);
SELECT pgmq.archive('q', '{2}'::bigint[]);
SELECT msg_id, archived_at = now() FROM pgmq.a_q;
COMMIT;
BEGIN;
SELECT pgmq.archive('q', 3);
ROLLBACK;

-- set_vt returns what it changed
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}');
SELECT * FROM pgmq.set_vt('q', 1, 100);
SELECT * FROM pgmq.set_vt('q', 1, 0);
SELECT * FROM pgmq.set_vt('q', 1, now() + interval '200 s');
SELECT * FROM pgmq.set_vt('q', 1, 'infinity'::timestamptz);
SELECT * FROM pgmq.set_vt('q', 1, 2147483647);
SELECT * FROM pgmq.set_vt('q', 1000, 0);
SELECT * FROM pgmq.set_vt('q', NULL::bigint, 0);
SELECT * FROM pgmq.set_vt('q', NULL::bigint, now());
SELECT pgmq.set_vt('q', 2, 100);
SELECT * FROM pgmq.set_vt('q', ARRAY[3, 2, 2, NULL, 1000], 300);
SELECT * FROM pgmq.set_vt('q', ARRAY[3, 2, 2, NULL, 1000], now() + interval '400 s');
SELECT * FROM pgmq.set_vt('q', '{}'::bigint[], 0);
SELECT * FROM pgmq.set_vt('q', NULL::bigint[], 0);
SELECT * FROM pgmq.set_vt('q', '{}'::bigint[], now());
SELECT * FROM pgmq.set_vt('q', NULL::bigint[], now());
SELECT * FROM pgmq.set_vt('q', ARRAY[[3, 4], [5, 6]], 100);
SELECT * FROM pgmq.set_vt(queue_name => 'q', msg_id => 3, vt => 50);
SELECT * FROM pgmq.set_vt(queue_name => 'q', msg_id => 3, vt => now());
SELECT * FROM pgmq.set_vt(queue_name => 'q', msg_ids => '{4}', vt => 50);
SELECT * FROM pgmq.set_vt(queue_name => 'q', msg_ids => '{5}', vt => now());
SELECT * FROM pgmq.read('q', 100, 10);

-- set_vt hides what was ready and shows what was hidden
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}');
SELECT count(*) FROM pgmq.set_vt('q', '{1,3,5}'::bigint[], 100);
SELECT * FROM pgmq.read('q', 100, 10);
SELECT count(*) FROM pgmq.set_vt('q', '{1,6}'::bigint[], 0);
SELECT count(*) FROM pgmq.set_vt('q', 2, -1);
SELECT count(*) FROM pgmq.set_vt('q', 3, now() - interval '1 s');
SELECT * FROM pgmq.read('q', 0, 2);
SELECT * FROM pgmq.read('q', 0, 10);
SELECT * FROM pgmq.pop('q', 2);

-- purge_queue counts what it removed, and ids go on
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}');
SELECT count(*) FROM pgmq.read('q', 100, 2);
SELECT pgmq.purge_queue('q');
SELECT pgmq.purge_queue(queue_name => 'q');
SELECT pgmq.send('q', '1');
SELECT * FROM pgmq.read('q', 100, 2);
BEGIN;
SELECT pgmq.purge_queue('q');
SELECT pgmq.send('q', '2');
ROLLBACK;
