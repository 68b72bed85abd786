-- rows that a user inserts are messages
SELECT pgmq.create('q');
INSERT INTO pgmq.q_q (vt) VALUES (now());
INSERT INTO pgmq.q_q (vt, message) VALUES (now(), '1') RETURNING msg_id;
INSERT INTO pgmq.q_q (vt, message, headers) VALUES (clock_timestamp(), '1', '{"h":1}')
    RETURNING msg_id, read_ct, last_read_at;
INSERT INTO pgmq.q_q (vt, message) VALUES ('2000-01-01', '1');
INSERT INTO pgmq.q_q (vt, message) VALUES (now() + interval '100 s', '1');
INSERT INTO pgmq.q_q VALUES (DEFAULT, 3, now(), now(), now(), '1', '2');
INSERT INTO pgmq.q_q (msg_id, vt) OVERRIDING SYSTEM VALUE VALUES (50, now());
INSERT INTO pgmq.a_q VALUES (1000, 0, now(), NULL, now(), now(), '1', NULL);
INSERT INTO pgmq.a_q (msg_id, vt) VALUES (1001, now());
SELECT * FROM pgmq.read('q', 100, 10);
SELECT * FROM pgmq.read('q', 100, 10);

-- what the table refuses is refused alike
SELECT pgmq.create('q');
INSERT INTO pgmq.q_q (message) VALUES ('1');
INSERT INTO pgmq.q_q (msg_id, vt) VALUES (50, now());
INSERT INTO pgmq.q_q (vt, read_ct) VALUES (now(), NULL);
INSERT INTO pgmq.q_q (vt, enqueued_at) VALUES (now(), NULL);
INSERT INTO pgmq.a_q (vt) VALUES (now());
INSERT INTO pgmq.a_q (msg_id, vt) VALUES (1, now()), (1, now());
UPDATE pgmq.q_q SET msg_id = 7;

-- rows that a user changes or deletes are no longer what they were
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}');
DELETE FROM pgmq.q_q WHERE msg_id = 1;
UPDATE pgmq.q_q SET vt = now() + interval '100 s' WHERE msg_id = 2;
UPDATE pgmq.q_q SET message = '"new"', headers = '1', read_ct = 7 WHERE msg_id = 3;
SELECT * FROM pgmq.read('q', 100, 2);
SELECT pgmq.delete('q', 1);
WITH gone AS (DELETE FROM pgmq.q_q WHERE msg_id < 4 RETURNING *) SELECT count(*) FROM gone;
SELECT * FROM pgmq.pop('q', 10);

-- a table that a user truncates is an empty queue
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}');
SELECT count(*) FROM pgmq.read('q', 100, 3);
TRUNCATE pgmq.q_q;
SELECT * FROM pgmq.read('q', 0, 10);
SELECT pgmq.send('q', '1');
SELECT * FROM pgmq.read('q', 0, 10);

-- a user's own columns and triggers do no harm
SELECT pgmq.create('q');
ALTER TABLE pgmq.q_q ADD COLUMN mine integer DEFAULT 7;
ALTER TABLE pgmq.a_q ADD COLUMN ours integer DEFAULT 8;
CREATE FUNCTION pg_temp.mark() RETURNS trigger LANGUAGE plpgsql
    AS $$BEGIN NEW.headers := '{"by": "trigger"}'; RETURN NEW; END$$;
CREATE TRIGGER mark BEFORE INSERT ON pgmq.q_q FOR EACH ROW EXECUTE FUNCTION pg_temp.mark();
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}');
SELECT pgmq.send('q', '7');
SELECT * FROM pgmq.read('q', 100, 1);
SELECT * FROM pgmq.set_vt('q', 2, 100);
SELECT pgmq.archive('q', 1);
SELECT * FROM pgmq.pop('q');
SELECT mine FROM pgmq.q_q;
SELECT ours FROM pgmq.a_q;
CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
CREATE TRIGGER refuse BEFORE INSERT ON pgmq.q_q FOR EACH ROW EXECUTE FUNCTION pg_temp.refuse();
SELECT pgmq.send_batch('q', '{9,10}');
DROP FUNCTION pg_temp.mark() CASCADE;
DROP FUNCTION pg_temp.refuse() CASCADE;

-- a reader may be REPEATABLE READ or SERIALIZABLE
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM pgmq.read('q', 100, 1);
SELECT * FROM pgmq.pop('q');
SELECT pgmq.send('q', '7');
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT * FROM pgmq.read('q', 100, 1);
SELECT pgmq.archive('q', 1);
SELECT pgmq.purge_queue('q');
COMMIT;

-- a read-only transaction may look but not touch
SELECT pgmq.create('q');
SELECT pgmq.send_batch('q', '{1,2,3,4,5,6}');
BEGIN READ ONLY;
SELECT * FROM pgmq.metrics('q');
SELECT * FROM pgmq.metrics_all();
SELECT * FROM pgmq.list_queues();
SELECT pgmq.format_table_name('q', 'q');
ROLLBACK;
BEGIN READ ONLY;
SELECT pgmq.send('q', '1') IS NULL;
ROLLBACK;
BEGIN READ ONLY;
SELECT pgmq.read('q', 0, 1) IS NULL;
ROLLBACK;
BEGIN READ ONLY;
SELECT pgmq.pop('q') IS NULL;
ROLLBACK;
BEGIN READ ONLY;
SELECT pgmq.delete('q', 1) IS NULL;
ROLLBACK;
