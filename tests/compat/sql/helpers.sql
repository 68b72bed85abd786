-- where pg_partman is not installed
SELECT pgmq._get_pg_partman_schema();
SELECT pgmq._get_pg_partman_major_version();
SELECT pgmq._ensure_pg_partman_installed();
SELECT pgmq._extension_exists('pg_partman'), pgmq._extension_exists('plpgsql');
SELECT pgmq._extension_exists(NULL), pgmq._extension_exists(extension_name => '');

-- the column of partitions
SELECT pgmq._get_partition_col('10000'), pgmq._get_partition_col(' +7 '), pgmq._get_partition_col('-1');
SELECT pgmq._get_partition_col('1 day'), pgmq._get_partition_col(''), pgmq._get_partition_col('1.5');
SELECT pgmq._get_partition_col(NULL), pgmq._get_partition_col(partition_interval => 'daily');

-- members of the extension
SELECT pgmq.create('q'), pgmq.create('A B');
SELECT pgmq._belongs_to_pgmq('q_q'), pgmq._belongs_to_pgmq('q_a b'), pgmq._belongs_to_pgmq('nope'), pgmq._belongs_to_pgmq(NULL);

-- sending without a look at the parameters
SELECT pgmq.create('q');
SELECT * FROM pgmq._send_batch('q', '{1,2}', NULL, clock_timestamp());
SELECT * FROM pgmq._send_batch('q', '{3,4}', '{1,NULL}', clock_timestamp() + interval '1 hour');
SELECT * FROM pgmq._send_batch(queue_name => 'q', msgs => '{5}', headers => ARRAY['{}']::jsonb[], delay => clock_timestamp());
SELECT * FROM pgmq.read('q', 0, 9);

-- an index for FIFO groups
SELECT pgmq.create('q');
SELECT pgmq._create_fifo_index_if_not_exists('q'), pgmq._create_fifo_index_if_not_exists(queue_name => 'q');
SELECT pgmq.send('q', '1', '{"x-pgmq-group": "a"}'::jsonb);
SELECT * FROM pgmq.read_grouped('q', 0, 1);
