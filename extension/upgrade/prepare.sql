-- For psql, on a database with upstream's pgmq 1.13 in use. Builds, without blocking anybody, the
-- indexes that the upgrade would otherwise build while all clients of a queue wait.
--
--     psql -X -q -v ON_ERROR_STOP=1 -f extension/upgrade/prepare.sql
--
-- If it is interrupted, run it again: it drops what the interruption has left. Without the last
-- line it only prints the statements. Indexes that it leaves out, and those of later tables, are
-- built by the upgrade.
WITH leaf AS (
    SELECT
        m.queue_name,
        p.column_name,
        c.oid AS relid,
        to_regclass(format('pgmq.%I', 'q_' || m.queue_name || '_fifo_idx')) AS fifo_idx,
        CASE
            -- The index of a partition may have any name: the index of the whole table adopts it.
            WHEN t.level > 0 AND octet_length(c.relname) <= 47 THEN c.relname
            WHEN t.level > 0 THEN md5(c.relname)
            WHEN octet_length(m.queue_name) <= 47 THEN m.queue_name
            ELSE md5(m.queue_name)
        END AS suffix
    -- Two names that differ only in case are of one table.
    FROM (SELECT DISTINCT lower(n.queue_name) AS queue_name FROM pgmq.meta AS n) AS m
    CROSS JOIN to_regclass(format('pgmq.%I', 'q_' || m.queue_name)) AS q (oid)
    LEFT JOIN pg_partition_tree(q.oid) AS t ON t.isleaf
    INNER JOIN pg_class AS c ON coalesce(t.relid, q.oid) = c.oid
    LEFT JOIN LATERAL (
        SELECT a.attname AS column_name
        FROM pg_partitioned_table AS k
        INNER JOIN pg_attribute AS a ON k.partrelid = a.attrelid AND k.partattrs[0] = a.attnum
        WHERE k.partrelid = q.oid
    ) AS p ON true
    WHERE c.relkind = 'r'
),

wanted AS (
    SELECT
        l.queue_name,
        l.relid,
        i.number,
        i.definition,
        i.prefix || l.suffix AS name
    FROM leaf AS l
    CROSS JOIN (
        VALUES
        (1, 'ready_idx_', '(msg_id) WHERE vt <= enqueued_at'),
        (2, 'parked_idx_', '(vt) WHERE vt > enqueued_at'),
        (3, 'msg_id_idx_', '(msg_id)'),
        (
            4,
            'fifo_idx_',
            '(hashtextextended(coalesce(headers ->> ''x-pgmq-group'', ''_default_fifo_group''), 0),'
            ' (msg_id + 0))'
        )
    ) AS i (number, prefix, definition)
    WHERE CASE i.number
        WHEN 3 THEN l.column_name <> 'msg_id'
        WHEN 4 THEN l.fifo_idx IS NOT null
        ELSE true
    END
)

SELECT
    CASE WHEN i.indexrelid IS NOT null THEN format('DROP INDEX CONCURRENTLY pgmq.%I', w.name) END
        AS drop_invalid,
    format('CREATE INDEX CONCURRENTLY %I ON %s %s', w.name, w.relid::regclass, w.definition)
        AS build
FROM wanted AS w
LEFT JOIN pg_index AS i ON i.indexrelid = to_regclass(format('pgmq.%I', w.name))
WHERE i.indisvalid IS NOT true
ORDER BY w.queue_name, w.relid, w.number
\gexec
