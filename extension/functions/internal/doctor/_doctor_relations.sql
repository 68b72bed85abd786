CREATE OR REPLACE FUNCTION pgmq._doctor_relations()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH queues AS (
        SELECT
            m.queue_name::text,
            q.queue,
            q.archive,
            p AS policy,
            pgmq._features(m.queue_name, p) || jsonb_build_object(
                'partitioned_archive', pgmq._partition_column(q.archive::text) IS NOT NULL
            ) AS features
        FROM pgmq.meta AS m
        CROSS JOIN LATERAL (
            SELECT
                pgmq._queue_table(m.queue_name) AS queue,
                pgmq._queue_table(m.queue_name, true) AS archive
        ) AS q
        CROSS JOIN pgmq._policy_of(m.queue_name) AS p
    )
    SELECT
        'critical', q.queue_name, 'the table of the queue is missing',
        format('Restore it, or SELECT pgmq.drop_queue(%L)', q.queue_name)
    FROM queues AS q
    WHERE q.queue IS NULL
    UNION ALL
    SELECT
        'critical', q.queue_name,
        CASE
            WHEN n.id IS NULL THEN format('the %s is missing', r.title)
            ELSE format('%s is not the %s: that is missing', n.id, r.title)
        END,
        concat_ws(
            '; ',
            CASE
                WHEN n.id IS NOT NULL AND NOT b.is_mark
                    THEN format('ALTER TABLE %s RENAME TO %I', n.id, 'other_' || md5(r.name))
            END,
            CASE
                WHEN r.role = 'archive' THEN format('SELECT pgmq.create(%L)', q.queue_name)
                WHEN r.role = 'dedup'
                    THEN format('SELECT pgmq._lay_out_policy(pgmq.get_policy(%L))', q.queue_name)
                WHEN r.role = 'lane'
                    THEN format('SELECT pgmq._lay_out(%1$L), pgmq._compile(%1$L)', q.queue_name)
                WHEN r.kind = 'index'
                    THEN format('SELECT pgmq._build_index(%L, %L)', r.role, q.queue_name)
                -- Another table may have it since that was the queue's.
                WHEN b.is_mark THEN format(
                    'ALTER SEQUENCE %s OWNED BY %s', n.id, pgmq._mark_column(r.role, q.queue_name)
                )
                ELSE format('SELECT pgmq._add_sequence(%L, %L)', r.role, q.queue_name)
            END
        )
    FROM queues AS q
    CROSS JOIN LATERAL pgmq._relations(q.queue_name) AS r
    CROSS JOIN LATERAL to_regclass(format('pgmq.%I', r.name)) AS n (id)
    CROSS JOIN LATERAL (
        SELECT r.kind = 'sequence' AND EXISTS (
            SELECT FROM pg_class AS c WHERE c.oid = n.id AND c.relkind = 'S'
        ) AS is_mark
    ) AS b
    WHERE q.queue IS NOT NULL
        AND (r.needed_by IS NULL OR pgmq._has_feature(r.needed_by, q.features))
        AND (
            n.id IS NULL
            OR r.role NOT IN ('queue', 'archive')
            AND NOT pgmq._is_relation_of(n.id, r.role, r.parent, q.queue_name)
        )
        -- Without its table, the index is not reported as well.
        AND pgmq._relation(coalesce(r.parent, 'queue'), q.queue_name) IS NOT NULL
    UNION ALL
    SELECT
        'warning', null,
        format(
            'pgmq.%I looks like the table of %s that pgmq.meta does not know', c.relname, k.title
        ),
        CASE
            WHEN EXISTS (
                SELECT FROM pg_depend AS d
                INNER JOIN pg_class AS m ON d.objid = m.oid
                WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
                    AND d.refobjid = c.oid AND d.deptype = 'a' AND m.relkind = 'S'
                    AND m.relname NOT IN (
                        SELECT r.name FROM pgmq._relations(substr(c.relname, 3)) AS r
                    )
            )
                THEN 'Do not drop it as long as it has sequences of a queue: see there.'
            WHEN k.maker ~ 'partitioned|stream'
                THEN format(
                    'SELECT pgmq.%I(%L, ...) with the intervals that it had, or DROP TABLE pgmq.%I',
                    k.maker, substr(c.relname, 3), c.relname
                )
            ELSE format(
                'SELECT pgmq.%I(%L) to use it, or DROP TABLE pgmq.%I',
                k.maker, substr(c.relname, 3), c.relname
            )
        END
    FROM pg_class AS c
    CROSS JOIN LATERAL pgmq._kind(c.oid) AS k
    WHERE c.relnamespace = 'pgmq'::regnamespace AND c.relkind IN ('r', 'p')
        AND NOT c.relispartition AND starts_with(c.relname, 'q_')
        AND NOT EXISTS (SELECT FROM queues AS q WHERE q.queue = c.oid)
        AND pgmq._looks_like_queue(c.oid, false)
    UNION ALL
    -- What is left of a REINDEX CONCURRENTLY that failed is not needed: the index itself is there.
    SELECT
        'critical', q.queue_name, format('index %s is not valid', i.indexrelid::regclass),
        format(
            CASE
                WHEN n.relname ~ '_cc(new|old)[0-9]*$' THEN 'DROP INDEX CONCURRENTLY %s'
                ELSE 'REINDEX INDEX CONCURRENTLY %s'
            END,
            i.indexrelid::regclass
        )
    FROM pg_index AS i
    INNER JOIN pg_class AS c ON c.oid = i.indrelid
    INNER JOIN pg_class AS n ON n.oid = i.indexrelid
    LEFT JOIN queues AS q
        ON coalesce(pg_partition_root(i.indrelid), i.indrelid) IN (q.queue, q.archive)
    WHERE c.relnamespace = 'pgmq'::regnamespace AND NOT (i.indisvalid AND i.indisready)
    UNION ALL
    SELECT
        CASE WHEN pgmq._is_stream(q.queue) THEN 'critical' ELSE 'warning' END, q.queue_name,
        format(
            'msg_ids are drawn %s at a time by each session: messages %s',
            s.seqcache,
            CASE
                WHEN pgmq._is_stream(q.queue)
                    THEN 'may come behind what groups have read, and be passed over'
                ELSE 'come late, and out of order'
            END
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

A queue needs its tables, indexes (which must be valid) and marks, and what its policy asks for.';
