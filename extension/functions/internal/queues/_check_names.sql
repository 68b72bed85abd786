CREATE OR REPLACE FUNCTION pgmq._looks_like_queue(relation regclass, is_archive boolean)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM pg_class AS c
        WHERE c.oid = relation AND c.relkind IN ('r', 'p') AND NOT c.relispartition
            AND NOT EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid = c.oid)
    )
    AND NOT EXISTS (
        SELECT FROM (
            VALUES
                ('msg_id', 'bigint'), ('read_ct', 'integer'),
                ('enqueued_at', 'timestamp with time zone'), ('vt', 'timestamp with time zone'),
                ('message', 'jsonb'),
                (CASE WHEN is_archive THEN 'archived_at' END, 'timestamp with time zone')
        ) AS w (name, type)
        LEFT JOIN pg_attribute AS a
            ON a.attrelid = relation AND a.attname = w.name AND a.atttypid = w.type::regtype
        WHERE w.name IS NOT NULL AND a.attnum IS NULL
            AND NOT (w.name IN ('read_ct', 'vt') AND pgmq._is_stream(relation))
    )
    AND (is_archive OR EXISTS (
        -- The sequence of msg_ids.
        SELECT FROM pg_depend AS d
        INNER JOIN pg_attribute AS a ON d.refobjid = a.attrelid AND d.refobjsubid = a.attnum
        WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
            AND d.refobjid = relation AND d.deptype IN ('a', 'i') AND a.attname = 'msg_id'
    ))
$$;
COMMENT ON FUNCTION pgmq._looks_like_queue(regclass, boolean) IS
'Whether a relation is a table with the columns of a queue, or of an archive.

A partition of another table is not.';

CREATE OR REPLACE FUNCTION pgmq._check_names(queue_name text)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_suffix CONSTANT text := pgmq._suffix(queue_name);
    v_queue CONSTANT regclass := pgmq._queue_table(queue_name);
    v_archive CONSTANT regclass := pgmq._queue_table(queue_name, true);
    v_found record;
BEGIN
    SELECT s.queue_name AS name INTO v_found
    FROM (
        SELECT m.queue_name FROM pgmq.meta AS m WHERE lower(m.queue_name) = v_suffix
        UNION ALL
        -- Only what looks like the suffix of a long name can be the suffix of another name, too.
        SELECT m.queue_name FROM pgmq.meta AS m
        WHERE v_suffix ~ '^[0-9a-f]{32}$' AND pgmq._suffix(m.queue_name) = v_suffix
    ) AS s
    WHERE lower(s.queue_name) <> lower(_check_names.queue_name);
    IF FOUND THEN
        RAISE EXCEPTION 'queue "%" would share its functions with queue "%"',
            queue_name, v_found.name
            USING ERRCODE = 'duplicate_object', HINT = 'Choose another name.';
    END IF;

    SELECT t.relation, t.is_archive, pg_partition_root(t.relation) AS root INTO v_found
    FROM (VALUES (v_queue, false), (v_archive, true)) AS t (relation, is_archive)
    WHERE t.relation IS NOT NULL
        AND (
            NOT pgmq._looks_like_queue(t.relation, t.is_archive)
            -- An archive without a queue is one that convert_archive_partitioned has put aside.
            OR t.is_archive AND v_queue IS NULL AND NOT pgmq._is_listed(queue_name)
        )
    ORDER BY t.is_archive
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'queue "%" cannot be created: % exists and is not the table of a queue',
            queue_name, v_found.relation
            USING ERRCODE = 'duplicate_table',
                DETAIL = CASE
                    WHEN v_found.root <> v_found.relation
                        THEN format('It is a partition of %s.', v_found.root)
                    WHEN v_found.is_archive THEN 'No queue archives to it.'
                    ELSE 'It has not the columns of one, or is not a table.'
                END,
                HINT = 'Choose another name, or rename the relation.';
    END IF;

    -- Sequences and indexes belong to the queue's tables, unless they are somebody else's.
    SELECT c.oid::regclass AS relation INTO v_found
    FROM pgmq._relations(queue_name) AS r
    INNER JOIN pg_class AS c ON c.oid = to_regclass(format('pgmq.%I', r.name))
    LEFT JOIN pg_index AS i ON i.indexrelid = c.oid
    LEFT JOIN pg_depend AS d
        ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'a'
        AND d.refclassid = 'pg_class'::regclass
    WHERE r.role NOT IN ('queue', 'archive')
        AND CASE c.relkind
            WHEN 'i' THEN i.indrelid IN (v_queue, v_archive, pgmq._relation('dedup', queue_name))
            WHEN 'I' THEN i.indrelid IN (v_queue, v_archive)
            WHEN 'S' THEN d.refobjid IN (v_queue, pgmq._relation('lane', queue_name))
            ELSE EXISTS (
                SELECT FROM pg_attribute AS a
                WHERE a.attrelid = c.oid AND (r.role, c.relkind, a.attname) IN (
                    ('dedup', 'r', 'dedup_key'), ('lane', 'p', 'epoch')
                )
            )
        END IS NOT TRUE
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'queue "%" cannot be created: % exists and is not the queue''s',
            queue_name, v_found.relation
            USING ERRCODE = 'duplicate_table',
                HINT = 'Choose another name, or rename the relation.';
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._check_names(text) IS
'Raise an error if a name that a queue needs belongs to something else.';
