CREATE OR REPLACE FUNCTION pgmq._doctor_relations()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH queues AS (
        SELECT
            m.queue_name::text,
            to_regclass(format('pgmq.%I', pgmq.format_table_name(m.queue_name, 'q'))) AS queue,
            to_regclass(format('pgmq.%I', pgmq.format_table_name(m.queue_name, 'a'))) AS archive,
            m.is_partitioned,
            pgmq._suffix(m.queue_name) AS suffix,
            pgmq._policy_of(m.queue_name) AS policy
        FROM pgmq.meta AS m
    )
    SELECT
        'critical', q.queue_name, 'the table of the queue is missing',
        format('Restore it, or SELECT pgmq.drop_queue(%L)', q.queue_name)
    FROM queues AS q
    WHERE q.queue IS NULL
    UNION ALL
    SELECT
        'critical', q.queue_name, format('the %s is missing', r.name),
        CASE
            WHEN r.kind = 'policy'
                THEN format('SELECT pgmq._lay_out_policy(pgmq.get_policy(%L))', q.queue_name)
            WHEN r.kind = 'archive' THEN format('SELECT pgmq.create(%L)', q.queue_name)
            ELSE format('SELECT pgmq._lay_out(%L)', q.queue_name)
        END
    FROM queues AS q
    CROSS JOIN LATERAL (
        VALUES
            ('archive', 'archive', q.archive),
            ('layout', 'index of ready messages', to_regclass(format('pgmq.%I', 'ready_idx_' || q.suffix))),
            ('layout', 'index of parked messages', to_regclass(format('pgmq.%I', 'parked_idx_' || q.suffix))),
            ('layout', 'low-water mark of ready messages', to_regclass(format('pgmq.%I', 'ready_mark_' || q.suffix))),
            ('layout', 'low-water mark of parked messages', to_regclass(format('pgmq.%I', 'parked_mark_' || q.suffix))),
            ('layout', 'mark of the first partition', CASE WHEN q.is_partitioned
                THEN to_regclass(format('pgmq.%I', 'floor_mark_' || q.suffix)) ELSE q.queue END),
            ('layout', 'mark of the last partition', CASE WHEN q.is_partitioned
                THEN to_regclass(format('pgmq.%I', 'top_mark_' || q.suffix)) ELSE q.queue END),
            ('policy', 'table of deduplication keys', CASE WHEN (q.policy).dedup_window IS NULL THEN q.queue
                ELSE to_regclass(format('pgmq.%I', 'dedup_' || q.suffix)) END),
            ('policy', 'index of leases', CASE WHEN (q.policy).max_in_flight IS NULL THEN q.queue
                ELSE to_regclass(format('pgmq.%I', 'in_flight_idx_' || q.suffix)) END)
    ) AS r (kind, name, relation)
    WHERE q.queue IS NOT NULL AND r.relation IS NULL
    UNION ALL
    SELECT
        'warning', null, format('pgmq.%I looks like the table of a queue that pgmq.meta does not know', c.relname),
        format(
            'SELECT pgmq.create(%L) to use it, or DROP TABLE pgmq.%I',
            substr(c.relname, 3), c.relname
        )
    FROM pg_class AS c
    WHERE c.relnamespace = 'pgmq'::regnamespace AND c.relkind IN ('r', 'p')
        AND NOT c.relispartition AND starts_with(c.relname, 'q_')
        AND NOT EXISTS (SELECT FROM queues AS q WHERE q.queue = c.oid)
        AND NOT EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid = c.oid)
        AND (
            SELECT count(*) FROM pg_attribute AS a
            WHERE a.attrelid = c.oid AND NOT a.attisdropped
                AND a.attname IN ('msg_id', 'read_ct', 'enqueued_at', 'vt', 'message')
        ) = 5
    UNION ALL
    SELECT
        'critical', q.queue_name, format('index %s is not valid', i.indexrelid::regclass),
        format('REINDEX INDEX CONCURRENTLY %s', i.indexrelid::regclass)
    FROM pg_index AS i
    INNER JOIN pg_class AS c ON c.oid = i.indrelid
    LEFT JOIN queues AS q
        ON coalesce(pg_partition_root(i.indrelid), i.indrelid) IN (q.queue, q.archive)
    WHERE c.relnamespace = 'pgmq'::regnamespace AND NOT (i.indisvalid AND i.indisready)
    UNION ALL
    SELECT
        'warning', q.queue_name,
        format(
            'msg_ids are drawn %s at a time by each session: messages come late, and out of order',
            s.seqcache
        ),
        format('ALTER SEQUENCE %s CACHE 1', s.seqrelid::regclass)
    FROM queues AS q
    INNER JOIN pg_sequence AS s
        ON s.seqrelid = pg_get_serial_sequence(q.queue::text, 'msg_id')::regclass
    WHERE s.seqcache > 1
    UNION ALL
    SELECT
        'info', q.queue_name,
        format(
            'the archive holds %s rows (%s) and nothing removes them',
            c.reltuples::bigint, pg_size_pretty(pg_total_relation_size(c.oid))
        ),
        'Set a policy with archive_retention, or remove old rows yourself.'
    FROM queues AS q
    INNER JOIN pg_class AS c ON c.oid = q.archive
    WHERE (q.policy).archive_retention IS NULL AND c.relkind = 'r' AND c.reltuples > 1000000
$$;
COMMENT ON FUNCTION pgmq._doctor_relations() IS
'Tables without their queue, queues without what they need, and archives that only grow.

What they need are tables, indexes, which must be valid, marks, and what their policy asks for.';
