-- How many rows a table has, by some of its pages. Nothing else follows a commit at once, at a cost
-- that does not grow with the table: the statistics are late, and lost in a crash.
CREATE OR REPLACE FUNCTION pgmq._sample(
    relation regclass,
    partition regclass,         -- this one alone; null: all
    conditions text[],          -- three, in SQL, on a row q; $1 is the time
    as_of timestamptz,
    OUT is_whole boolean,       -- whether each page was looked at: the numbers are exact then
    OUT total bigint,
    OUT met bigint[]            -- how many rows meet each of the conditions
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_tidscan = on SET jit = off
AS $$
DECLARE
    v_first CONSTANT integer := 32;     -- pages that are looked at first
    v_parts record;
    v_part record;
    v_pages bigint;             -- of all partitions, one after the other
    v_next bigint[];            -- pages to look at
    -- What was found: the page, its rows, and those that meet the conditions.
    v_page bigint[] := '{}'::bigint[];
    v_n integer[] := '{}'::integer[];
    v_a integer[] := '{}'::integer[];
    v_b integer[] := '{}'::integer[];
    v_c integer[] := '{}'::integer[];
    v_differences double precision;         -- between the numbers of neighbours, in all
    v_found bigint;             -- rows on the pages
BEGIN
    v_parts := pgmq._page_ranges(relation, partition);
    v_pages := v_parts.total;
    IF v_pages = 0 THEN
        is_whole := true;
        total := 0;
        met := '{0,0,0}'::bigint[];
        RETURN;
    END IF;
    IF v_pages <= 1.5 * v_first AND v_parts.keys = ARRAY['true'] THEN
        -- One statement, since most tables of thousands of queues are small.
        EXECUTE format(
            $sql$
            SELECT
                count(*),
                ARRAY[
                    count(*) FILTER (WHERE %s), count(*) FILTER (WHERE %s),
                    count(*) FILTER (WHERE %s)
                ]
            FROM %s AS q
            WHERE q.ctid >= '(0,0)'
            $sql$,
            conditions[1], conditions[2], conditions[3], relation
        ) INTO total, met USING as_of;
        is_whole := true;
        RETURN;
    END IF;
    -- Evenly spaced pages: full and empty ones come in long runs, so that these say more than as many
    -- random ones. The last page is none like the others, and stands for itself.
    IF v_pages <= 1.5 * v_first THEN
        v_next := ARRAY(SELECT n FROM generate_series(0, v_pages - 1) AS n);
    ELSE
        v_next := ARRAY(
            SELECT n * (v_pages - 2) / (v_first - 2) FROM generate_series(0, v_first - 2) AS n
        ) || v_pages - 1;
    END IF;
    FOR v_round IN 1..2 LOOP
        FOR v_part IN
            SELECT
                p.keys, p.before, ARRAY(
                    SELECT n - p.before FROM unnest(v_next) AS n
                    WHERE n >= p.before AND n < p.before + p.pages
                ) AS pages
            FROM unnest(v_parts.keys, v_parts.pages, v_parts.before) AS p (keys, pages, before)
        LOOP
            CONTINUE WHEN v_part.pages = '{}';
            EXECUTE format(
                $sql$
                SELECT
                    $4 || array_agg($3 + p.page), $5 || array_agg(r.n),
                    $6 || array_agg(r.a), $7 || array_agg(r.b), $8 || array_agg(r.c)
                FROM unnest($2) AS p (page)
                CROSS JOIN LATERAL (
                    SELECT
                        count(*)::integer AS n,
                        (count(*) FILTER (WHERE %3$s))::integer AS a,
                        (count(*) FILTER (WHERE %4$s))::integer AS b,
                        (count(*) FILTER (WHERE %5$s))::integer AS c
                    FROM %1$s AS q
                    WHERE q.ctid >= format('(%%s,0)', p.page)::tid
                        AND q.ctid < format('(%%s,0)', p.page + 1)::tid
                        AND (%2$s)
                ) AS r
                $sql$,
                relation, v_part.keys, conditions[1], conditions[2], conditions[3]
            ) INTO v_page, v_n, v_a, v_b, v_c
            USING as_of, v_part.pages, v_part.before, v_page, v_n, v_a, v_b, v_c;
        END LOOP;
        is_whole := cardinality(v_page) = v_pages;
        -- Each page stands for those that are nearer to it than to others.
        SELECT
            coalesce(sum(p.n * p.weight), 0),
            ARRAY[
                coalesce(sum(p.a * p.weight), 0), coalesce(sum(p.b * p.weight), 0),
                coalesce(sum(p.c * p.weight), 0)
            ],
            sum(p.n), coalesce(sum(p.difference), 0)
        INTO total, met, v_found, v_differences
        FROM (
            SELECT
                p.n, p.a, p.b, p.c,
                (coalesce(lead(p.page) OVER w, 2 * v_pages - 1 - p.page)
                - coalesce(lag(p.page) OVER w, -1 - p.page))::double precision / 2 AS weight,
                abs(p.n - lead(p.n) OVER w) + abs(p.a - lead(p.a) OVER w)
                + abs(p.b - lead(p.b) OVER w) + abs(p.c - lead(p.c) OVER w) AS difference
            FROM unnest(v_page, v_n, v_a, v_b, v_c) AS p (page, n, a, b, c)
            WINDOW w AS (ORDER BY p.page)
        ) AS p;
        EXIT WHEN is_whole OR v_round = 2
            OR v_differences < '0.05'::double precision * v_found;
        -- Then some more in between, where neighbours differ above all; and the more, the fewer
        -- rows the first ones had.
        v_next := ARRAY(
            SELECT d.page + (d.until - d.page) * n / (d.more + 1)
            FROM (
                SELECT
                    s.page, s.until,
                    least(s.until - s.page - 1, ceil(
                        least(512, greatest(24, 1500 * v_first / (v_found + 1))) * (
                            '0.4'::double precision / v_first
                            + '0.6'::double precision * s.difference / greatest(v_differences, 1)
                        )
                    ))::integer AS more
                FROM (
                    SELECT
                        p.page, lead(p.page) OVER w AS until,
                        abs(p.n - lead(p.n) OVER w) + abs(p.a - lead(p.a) OVER w)
                        + abs(p.b - lead(p.b) OVER w) + abs(p.c - lead(p.c) OVER w) AS difference
                    FROM unnest(v_page, v_n, v_a, v_b, v_c) AS p (page, n, a, b, c)
                    WINDOW w AS (ORDER BY p.page)
                ) AS s
                WHERE s.until > s.page + 1
            ) AS d
            CROSS JOIN generate_series(1, d.more) AS n
        );
        EXIT WHEN v_next = '{}'::bigint[];
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._sample(regclass, regclass, text[], timestamptz) IS
'How many rows a table has, and how many meet conditions, by some of its pages.

The caller sees the rows of its snapshot, as in a count of all. Pages are taken from the whole table
at even distances, and then more of them where the number of rows changes. So the error is small
where rows are spread evenly, at random, or in long runs; it is larger where they are in less than
one page of a hundred.';

CREATE OR REPLACE FUNCTION pgmq._page_ranges(
    relation regclass,
    partition regclass,         -- this one alone; null: all
    OUT keys text[],            -- the condition for the keys of a partition
    OUT pages bigint[],
    OUT before bigint[],        -- the pages of the partitions before it
    OUT total bigint
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_block CONSTANT integer := current_setting('block_size')::integer;
BEGIN
    IF (SELECT c.relkind FROM pg_class AS c WHERE c.oid = relation) <> 'p' THEN
        total := pg_relation_size(relation) / v_block;
        keys := '{true}';
        pages := ARRAY[total];
        before := '{0}';
        RETURN;
    END IF;
    -- A role that may read the table may have no right to query a partition. So a partition is
    -- queried by its keys.
    SELECT
        array_agg(p.keys), array_agg(p.pages), array_agg(p.before), coalesce(sum(p.pages), 0)
    INTO keys, pages, before, total
    FROM (
        SELECT
            CASE
                WHEN p.first_key IS NULL THEN pgmq._default_keys(relation)
                ELSE pgmq._keys_between(
                    pgmq._partition_column(relation::text)::text, p.first_key, p.end_key
                )
            END AS keys,
            p.pages, (sum(p.pages) OVER (ORDER BY p.first_key) - p.pages)::bigint AS before
        FROM (
            SELECT t.*, pg_relation_size(t.partition) / v_block AS pages
            FROM (
                SELECT r.partition, r.first_key, r.end_key FROM pgmq._partitions(relation) AS r
                UNION ALL
                SELECT d, null, null FROM pgmq._default_partition(relation) AS d
            ) AS t
            WHERE t.partition = coalesce(_page_ranges.partition, t.partition)
        ) AS p
        WHERE p.pages > 0
    ) AS p;
END
$$;
COMMENT ON FUNCTION pgmq._page_ranges(regclass, regclass) IS
'How many pages a table has, and each of its partitions that have any.';

CREATE OR REPLACE FUNCTION pgmq._default_rows(relation regclass, exact bigint)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = on
AS $$
DECLARE
    v_count bigint;
BEGIN
    -- Query the table: a role that may read it may have no right to query a partition. The planner
    -- sees that no other partition has such keys.
    EXECUTE format(
        'SELECT count(*) FROM (SELECT FROM %s WHERE %s LIMIT $1 + 1) AS m',
        relation, pgmq._default_keys(relation)
    ) INTO v_count USING exact;
    IF v_count > exact AND pgmq._may_measure(relation) THEN
        RETURN greatest(v_count, (
            SELECT s.total
            FROM pgmq._sample(
                relation, pgmq._default_partition(relation), '{false,false,false}', now()
            ) AS s
        ));
    END IF;
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION pgmq._default_rows(regclass, bigint) IS
'How many rows the default partition of a table has: counted up to a number, estimated beyond.';

CREATE OR REPLACE FUNCTION pgmq._dead_rows(relation regclass)
RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A table without partitions has no partition tree.
    RETURN pg_stat_get_dead_tuples(relation) + coalesce((
        SELECT sum(pg_stat_get_dead_tuples(t.relid))::bigint
        FROM pg_partition_tree(relation) AS t
        WHERE t.relid <> relation
    ), 0);
END
$$;
COMMENT ON FUNCTION pgmq._dead_rows(regclass) IS
'How many dead rows of a table, partitions included, vacuum has yet to remove, by the statistics.';

CREATE OR REPLACE FUNCTION pgmq._may_measure(relation regclass)
RETURNS boolean
LANGUAGE sql STABLE
AS $$
    -- Roles that may see the state of messages may also see on which pages they are (ctid, column
    -- -1). A view in the place of a table has no pages. One expression, so that it is inlined.
    SELECT coalesce(
        pg_catalog.has_column_privilege(relation::oid, '-1'::smallint, 'SELECT'::text),
        pg_catalog.has_column_privilege(relation::oid, 'enqueued_at'::text, 'SELECT'::text)
    )
$$;
COMMENT ON FUNCTION pgmq._may_measure(regclass) IS
'Whether the caller may see how many messages a table has, and in which state; null: no such table.';
