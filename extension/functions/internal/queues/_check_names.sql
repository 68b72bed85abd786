CREATE OR REPLACE FUNCTION pgmq._draws_ids(relation regclass)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM pg_depend AS d
        INNER JOIN pg_attribute AS a ON d.refobjid = a.attrelid AND d.refobjsubid = a.attnum
        INNER JOIN pg_class AS c ON d.objid = c.oid     -- an index depends on the column, too
        WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
            AND d.refobjid = relation AND d.deptype IN ('a', 'i') AND a.attname = 'msg_id'
            AND c.relkind = 'S'
    )
$$;
COMMENT ON FUNCTION pgmq._draws_ids(regclass) IS 'Whether a table has a sequence of msg_ids.';

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
    AND (is_archive OR pgmq._draws_ids(relation))
$$;
COMMENT ON FUNCTION pgmq._looks_like_queue(regclass, boolean) IS
'Whether a relation is a table with the columns of a queue, or of an archive.

A partition of another table is not.';

CREATE OR REPLACE FUNCTION pgmq._is_relation_of(
    relation regclass,
    role text,
    parent text,
    queue_name text
)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- Sequences and indexes belong to the queue's tables, unless they are somebody else's.
    SELECT CASE
        WHEN c.relkind IN ('i', 'I') THEN EXISTS (
            SELECT FROM pg_index AS i
            WHERE i.indexrelid = relation
                AND i.indrelid = pgmq._relation(coalesce(parent, 'queue'), queue_name)
        )
        WHEN c.relkind = 'S' THEN EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = relation AND d.deptype = 'a'
                AND d.refclassid = 'pg_class'::regclass
                AND d.refobjid IN (
                    pgmq._relation('queue', queue_name), pgmq._relation('lane', queue_name)
                )
        )
        ELSE EXISTS (
            SELECT FROM pg_attribute AS a
            WHERE a.attrelid = relation AND (role, c.relkind, a.attname) IN (
                ('dedup', 'r', 'dedup_key'), ('lane', 'p', 'epoch')
            )
        )
    END
    FROM pg_class AS c
    WHERE c.oid = relation
$$;
COMMENT ON FUNCTION pgmq._is_relation_of(regclass, text, text, text) IS
'Whether what has the name of a queue''s relation, by its role, is that: not the table, or the archive.';

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

    SELECT
        c.id AS relation,
        CASE k.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'INDEX' END AS kind,
        coalesce(i.indrelid, d.refobjid)::regclass AS parent
    INTO v_found
    FROM pgmq._relations(queue_name) AS r
    CROSS JOIN to_regclass(format('pgmq.%I', r.name)) AS c (id)
    LEFT JOIN pg_class AS k ON c.id = k.oid
    LEFT JOIN pg_index AS i ON c.id = i.indexrelid
    LEFT JOIN pg_depend AS d
        ON d.classid = 'pg_class'::regclass AND d.objid = c.id AND d.deptype = 'a'
        AND d.refclassid = 'pg_class'::regclass
    WHERE r.role NOT IN ('queue', 'archive') AND c.id IS NOT NULL
        AND NOT pgmq._is_relation_of(c.id, r.role, r.parent, queue_name)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'queue "%" cannot be created: % exists and is not the queue''s',
            queue_name, v_found.relation
            USING ERRCODE = 'duplicate_table',
                HINT = CASE
                    WHEN pgmq._looks_like_queue(v_found.parent, false)
                        OR pgmq._looks_like_queue(v_found.parent, true)
                        THEN format(
                            'It is of %s, which was perhaps renamed by hand: DROP %s %s, and'
                            ' what else has the old name and is of that table.',
                            v_found.parent, v_found.kind, v_found.relation
                        )
                    ELSE 'Choose another name, or rename the relation.'
                END;
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._check_names(text) IS
'Raise an error if a name that a queue needs belongs to something else.';
