-- a queue is found whatever the case of its name
SELECT pgmq.create('MiXed');
SELECT pgmq.send('mixed', '1');
SELECT pgmq.send('MIXED', '2');
SELECT * FROM pgmq.read('Mixed', 0, 10);
SELECT * FROM pgmq.pop('mIxed');
SELECT pgmq.archive('mixed', 2);
SELECT * FROM pgmq.metrics('mIXED');
SELECT * FROM pgmq.metrics_all();
SELECT pgmq.purge_queue('MIXED');
SELECT pgmq.drop_queue('MiXed');

-- format_table_name lowers all and checks no length
SELECT pgmq.format_table_name('AbC', 'Q');
SELECT pgmq.format_table_name('', '');
SELECT pgmq.format_table_name(NULL, 'q');
SELECT pgmq.format_table_name('x', NULL);
SELECT pgmq.format_table_name(repeat('x', 100), 'a');
SELECT pgmq.format_table_name(queue_name => 'x', prefix => 'a');

-- validate_queue_name checks only the length
SELECT pgmq.validate_queue_name(repeat('x', 47));
SELECT pgmq.validate_queue_name(repeat('x', 48));
SELECT pgmq.validate_queue_name('a$b');
SELECT pgmq.validate_queue_name('');
SELECT pgmq.validate_queue_name(NULL);
SELECT pgmq.validate_queue_name(queue_name => 'x');

-- a name of 48 characters is refused by each create
SELECT pgmq.create(repeat('x', 48));
SELECT pgmq.create_non_partitioned(repeat('x', 48));
SELECT pgmq.create_unlogged(repeat('x', 48));
