-- Bring the tables of queues that an older layout made (upstream 1.13, an earlier 2.x) to today's. Each is locked against
-- writers while its two partial indexes are built.
SELECT pgmq._lay_out(m.queue_name)
FROM pgmq.meta AS m
WHERE to_regclass(format('pgmq.%I', pgmq.format_table_name(m.queue_name, 'q'))) IS NOT NULL;
