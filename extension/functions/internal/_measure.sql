CREATE OR REPLACE FUNCTION pgmq._state_of(relation regclass, callers oid[])
RETURNS TABLE (size bigint, kind text, is_safe boolean)
LANGUAGE sql STABLE ROWS 1
AS $$
    -- Plain SQL, so that it is inlined. By LIMIT the table is looked up by itself: a join might
    -- read the whole catalog.
    SELECT
        s.size, c.relkind::text,
        -- At most the role and the login. There may be none, or one.
        coalesce(pg_catalog.pg_has_role(c.relowner, callers[1], 'USAGE'::text), true)
        AND coalesce(pg_catalog.pg_has_role(c.relowner, callers[2], 'USAGE'::text), true)
    FROM (
        -- Looking at the size lets this session notice what others have created and dropped.
        SELECT pg_catalog.pg_relation_size(relation) AS size OFFSET 0
    ) AS s
    CROSS JOIN LATERAL (
        SELECT c.relkind, c.relowner
        FROM pg_catalog.pg_class AS c
        WHERE c.oid = relation::oid
        LIMIT 1
    ) AS c
    WHERE s.size IS NOT NULL AND pgmq._may_measure(relation) AND pgmq._is_here(relation)
$$;
COMMENT ON FUNCTION pgmq._state_of(regclass, oid[]) IS
'What there is to know of a table before it is touched; no row if the caller cannot measure it.

Whether all callers have the rights of its owner says nothing of partitions: see _apart().';

CREATE OR REPLACE FUNCTION pgmq._apart(relation regclass, kind text, expression text)
RETURNS text
LANGUAGE sql STABLE
AS $$
    -- One expression, so that it is inlined. Partitions may have other owners. Asking takes locks.
    SELECT CASE
        WHEN kind = 'p' THEN pg_catalog.format(
            'CASE WHEN pgmq._is_safe_to_touch(%L::regclass, $2) THEN %s END', relation, expression
        )
        ELSE expression
    END
$$;
COMMENT ON FUNCTION pgmq._apart(regclass, text, text) IS
'An expression that touches a table, for _measure(): null if a partition is not safe to touch.';

CREATE OR REPLACE FUNCTION pgmq._stats(
    queue_name text,
    relation regclass,
    kind text,
    callers oid[],
    is_wanted boolean
)
RETURNS TABLE (expressions text, has_partitions boolean)
LANGUAGE sql STABLE ROWS 1
AS $$
    -- Plain SQL, so that it is inlined.
    SELECT
        pg_catalog.concat(
            CASE
                WHEN NOT a.is_safe OR a.is_safe IS NULL THEN 'null::bigint'
                WHEN a.size = 0 AND a.kind = 'r' THEN '0::bigint'
                WHEN pgmq._is_short(a.size, a.kind)
                    THEN pg_catalog.format('(SELECT count(*) FROM %s)', t.archive)
                ELSE pgmq._apart(t.archive, a.kind, pg_catalog.format(
                    '(SELECT s.total FROM pgmq._sample(%L, null, ''{false,false,false}'', now()) AS s)',
                    t.archive
                ))
            END,
            ', ',
            CASE
                WHEN _stats.kind = 'p'
                    THEN pg_catalog.format('pgmq._removed_rows(%L)', relation)
                ELSE pg_catalog.format('pg_stat_get_tuples_deleted(%s)', relation::oid)
            END
        ),
        a.kind = 'p'
    FROM (SELECT pgmq._queue_table(queue_name, true) AS archive WHERE is_wanted OFFSET 0) AS t
    LEFT JOIN LATERAL pgmq._state_of(t.archive, callers) AS a ON true
    OFFSET 0
$$;
COMMENT ON FUNCTION pgmq._stats(text, regclass, text, oid[], boolean) IS
'The expressions of what queue_stats() says besides.';

CREATE OR REPLACE FUNCTION pgmq._measure(
    queue_names text[],
    callers oid[],
    with_stats boolean,         -- also what only queue_stats() says
    is_named boolean            -- the caller has named the queue: its failure is the call's
)
RETURNS TABLE (
    queue_name text,
    is_safe boolean,            -- false: somebody less powerful than the callers owns it
    total bigint,
    visible bigint,
    oldest timestamptz,
    newest timestamptz,
    delayed bigint,
    in_flight bigint,
    last_id bigint,
    dead_letter_queue text,     -- null without one
    archive_length bigint,
    removed bigint,
    default_partition_length bigint     -- null with stats
)
LANGUAGE plpgsql VOLATILE ROWS 10
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan SET jit = off SET max_parallel_workers_per_gather = 0
AS $$
DECLARE
    v_first CONSTANT regclass := pgmq._queue_table(queue_names[1]);
    v_left text[] := queue_names;
    v_queues record;
BEGIN
    BEGIN
        FOR v_queues IN
            SELECT
                array_agg(q.queue_name) AS names,
                array_agg(q.dead_letter_queue) AS dead_letter_queues,
                array_agg(q.counting) AS countings,
                array_agg(q.numbers) AS numbers
            FROM (
                SELECT
                    n.queue_name,
                    (p.policy).dead_letter_queue,
                    CASE
                        WHEN NOT t.is_safe THEN 'null::record'
                        WHEN pgmq._is_short(t.size, t.kind)
                            THEN pgmq._counting(n.relation, t.size, p.policy, with_stats)
                        ELSE pgmq._apart(n.relation, t.kind, format(
                            '(SELECT ROW(l.total, l.visible, l.oldest, l.newest%3$s)'
                            ' FROM pgmq._lengths(%1$L, %2$L, pgmq._policy_of(%1$L)) AS l)',
                            n.queue_name, n.relation,
                            CASE WHEN with_stats THEN ', l.delayed, l.in_flight' END
                        ))
                    END AS counting,
                    concat_ws(
                        ', ',
                        CASE
                            WHEN NOT t.is_safe THEN 'null::bigint'
                            WHEN t.kind = 'p' THEN pgmq._apart(n.relation, t.kind, format(
                                'pgmq._drawn(%L, %L)', n.queue_name, n.relation
                            ))
                            ELSE pgmq._drawing(n.relation)
                        END,
                        s.expressions,
                        CASE
                            WHEN t.kind = 'p' AND t.is_safe AND NOT with_stats
                                THEN concat('null, null, ', pgmq._apart(
                                    n.relation, t.kind,
                                    format('pgmq._default_length(%L)', n.relation)
                                ))
                        END
                    ) AS numbers,
                    t.kind = 'p' OR s.has_partitions AS has_partitions
                FROM (
                    SELECT n.queue_name, pgmq._queue_table(n.queue_name) AS relation
                    FROM unnest(_measure.queue_names) AS n (queue_name)
                    OFFSET 0
                ) AS n
                CROSS JOIN LATERAL pgmq._state_of(n.relation, callers) AS t
                CROSS JOIN LATERAL (SELECT pgmq._stored_policy(n.queue_name) AS policy OFFSET 0) AS p
                LEFT JOIN LATERAL pgmq._stats(
                    n.queue_name, n.relation, t.kind, callers, with_stats
                ) AS s ON true
            ) AS q
            -- Partitions take many locks.
            GROUP BY CASE WHEN q.has_partitions THEN q.queue_name END
        LOOP
            BEGIN
                -- Who has locked one of these queues may want another of them next: a call that
                -- waits with the locks of some would be his deadlock.
                IF cardinality(v_queues.names) > 1 THEN
                    PERFORM set_config('lock_timeout', '10ms', true);
                END IF;
                -- What is returned stays so. If this fails, it has returned nothing: all is counted
                -- before the first row.
                -- Scalar subqueries, none within another: a UNION ALL takes longer to parse and to
                -- plan.
                RETURN QUERY EXECUTE format(
                    $sql$
                    SELECT
                        ($3)[c.ordinality], c.total IS NOT NULL, c.total, c.visible, c.oldest,
                        c.newest, %4$s, n.numbers[c.ordinality][1],
                        ($4)[c.ordinality], n.numbers[c.ordinality][2],
                        n.numbers[c.ordinality][3], n.numbers[c.ordinality][4]
                    FROM (SELECT ARRAY[[%2$s]] AS numbers OFFSET 0) AS n
                    CROSS JOIN ROWS FROM (
                        unnest(ARRAY[%1$s]) AS (
                            total bigint, visible bigint, oldest timestamptz, newest timestamptz %3$s
                        )
                    ) WITH ORDINALITY AS c
                    $sql$,
                    array_to_string(v_queues.countings, ', '),
                    array_to_string(v_queues.numbers, '], ['),
                    CASE WHEN with_stats THEN ', delayed bigint, in_flight bigint' END,
                    CASE
                        WHEN with_stats THEN 'c.delayed, c.in_flight'
                        ELSE 'null::bigint, null::bigint'
                    END
                ) USING clock_timestamp(), callers, v_queues.names, v_queues.dead_letter_queues;
                v_left := ARRAY(
                    SELECT n.name FROM unnest(v_left) AS n (name) WHERE n.name <> ALL (v_queues.names)
                );
                -- The rollback releases the locks: those of thousands of queues would fill the lock
                -- table.
                RAISE EXCEPTION 'measured' USING ERRCODE = 'PGMQ0';
            EXCEPTION WHEN SQLSTATE 'PGMQ0' THEN
                null;
            END;
        END LOOP;
    EXCEPTION WHEN OTHERS THEN
        -- Postgres has many words for a table that was dropped meanwhile.
        IF cardinality(queue_names) > 1 THEN
            RETURN QUERY
            SELECT m.*
            FROM unnest(v_left) AS n (queue_name)
            CROSS JOIN LATERAL pgmq._measure(
                ARRAY[n.queue_name], callers, with_stats, is_named
            ) AS m;
        -- The size is asked of whoever drops it just now. A snapshot might be too old.
        ELSIF pg_relation_size(v_first) IS NOT NULL THEN
            IF is_named THEN
                RAISE;
            END IF;
            RAISE WARNING 'queue "%" cannot be measured: %', queue_names[1], SQLERRM
                USING HINT = 'It is left out. See what SELECT * FROM pgmq.doctor() says of it.';
        END IF;
    END;
END
$$;
COMMENT ON FUNCTION pgmq._measure(text[], oid[], boolean, boolean) IS
'What metrics_all() and queue_stats() say of some queues, without keeping their locks.

Left out are queues that are gone, those that are not here (see _is_here()), those whose metrics the
caller may not see, and with a warning those that are damaged.';

CREATE OR REPLACE FUNCTION pgmq._removed_rows(relation regclass)
RETURNS bigint
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT sum(pg_stat_get_tuples_deleted(t.relid))::bigint
    FROM pgmq._storage(relation) AS t
$$;
COMMENT ON FUNCTION pgmq._removed_rows(regclass) IS
'How many rows of a table, partitions included, were deleted, by the statistics.';
