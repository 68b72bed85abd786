CREATE OR REPLACE FUNCTION pgmq.metrics_all()
RETURNS SETOF pgmq.metrics_result
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_callers CONSTANT oid[] := pgmq._powerful_callers();
    v_queue_names text[];
    v_queue record;
    v_others text[] := '{}'::text[];
    v_is_safe boolean;
    v_metrics pgmq.metrics_result;
    -- Short tables that are counted together.
    v_relations regclass[] := '{}'::regclass[];
    v_countings text[] := '{}'::text[];
BEGIN
    -- Ten at a time: who owns them is asked shortly before they are touched, and a plan for many
    -- more tables takes so much memory that each of them takes longer.
    FOR v_queue_names IN
        SELECT array_agg(m.queue_name ORDER BY m.number)
        FROM (
            SELECT m.queue_name::text, row_number() OVER (ORDER BY m.queue_name) AS number
            FROM pgmq.meta AS m
            WHERE NOT (m.is_unlogged AND pg_is_in_recovery())
        ) AS m
        GROUP BY (m.number - 1) / 10
        ORDER BY min(m.number)
    LOOP
        FOR v_queue IN
            SELECT
                t.queue_name, t.relation, p.policy, s.is_short, o.is_safe,
                CASE WHEN s.is_short AND o.is_safe THEN
                    pgmq._counting(t.queue_name, t.relation, t.size, p.policy, false)
                END AS counting
            FROM (
                SELECT
                    n.queue_name, n.relation,
                    -- Looking at the size lets this session notice what others have created and
                    -- dropped.
                    pg_relation_size(n.relation) AS size
                FROM (
                    SELECT n.queue_name, pgmq._queue_table(n.queue_name) AS relation
                    FROM unnest(v_queue_names) AS n (queue_name)
                    OFFSET 0
                ) AS n
                OFFSET 0
            ) AS t
            -- By LIMIT these are looked up one by one: a join might read the whole catalog.
            CROSS JOIN LATERAL (
                SELECT c.relkind, c.relowner FROM pg_class AS c WHERE c.oid = t.relation LIMIT 1
            ) AS c
            LEFT JOIN LATERAL (
                SELECT p AS policy FROM pgmq.policy AS p WHERE p.queue_name = t.queue_name LIMIT 1
            ) AS p ON true
            CROSS JOIN LATERAL (
                SELECT pgmq._is_short(t.size, c.relkind) AS is_short OFFSET 0
            ) AS s
            CROSS JOIN LATERAL (
                SELECT
                    coalesce(bool_and(pg_has_role(c.relowner, r.id, 'USAGE')), true) AS is_safe
                FROM unnest(v_callers) AS r (id)
            ) AS o
            WHERE t.size IS NOT NULL AND pgmq._may_measure(t.relation)
        LOOP
            IF NOT v_queue.is_safe THEN
                v_others := v_others || v_queue.queue_name;
                CONTINUE;
            END IF;
            IF v_queue.is_short THEN
                v_relations := v_relations || v_queue.relation;
                v_countings := v_countings || v_queue.counting;
                CONTINUE;
            END IF;
            RETURN QUERY SELECT c.* FROM pgmq._count_together(v_relations, v_countings) AS c;
            v_relations := '{}';
            v_countings := '{}';
            BEGIN
                -- Partitions may have other owners.
                v_is_safe := pgmq._is_safe_to_touch(v_queue.relation, v_callers);
                IF v_is_safe THEN
                    v_metrics := pgmq._metrics(
                        v_queue.queue_name, v_queue.relation, v_queue.policy
                    );
                END IF;
                -- The rollback releases the queue's locks: those of thousands of queues would fill
                -- the lock table.
                RAISE EXCEPTION 'measured' USING ERRCODE = 'PGMQ0';
            EXCEPTION
                WHEN SQLSTATE 'PGMQ0' THEN
                    IF v_is_safe THEN
                        RETURN NEXT v_metrics;
                    ELSE
                        v_others := v_others || v_queue.queue_name;
                    END IF;
                WHEN undefined_table OR undefined_function OR undefined_object OR internal_error
                THEN
                    -- The queue may have been dropped meanwhile; any other failure is raised again.
                    IF EXISTS (SELECT FROM pg_class AS c WHERE c.oid = v_queue.relation) THEN
                        RAISE;
                    END IF;
            END;
        END LOOP;
        RETURN QUERY SELECT c.* FROM pgmq._count_together(v_relations, v_countings) AS c;
        v_relations := '{}';
        v_countings := '{}';
    END LOOP;
    PERFORM pgmq._warn_of_others(
        'metrics_all()', v_others, 'Call it as a member of pg_monitor without more rights.'
    );
END
$$;
COMMENT ON FUNCTION pgmq.metrics_all() IS
'Return the metrics of every queue whose metrics the caller may see.

Members of pg_monitor see all queues. A queue whose table was dropped by hand is left out. A standby
leaves out unlogged queues, which it does not have.

For a superuser, or a role with powers like that, queues whose owner has no such powers are left
out, with a warning: looking at them could run code of that owner.';

CREATE OR REPLACE FUNCTION pgmq._count_together(
    relations regclass[],
    countings text[]        -- what _counting() says of each
)
RETURNS SETOF pgmq.metrics_result
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    v_found pgmq.metrics_result[];
BEGIN
    IF countings = '{}' THEN
        RETURN;
    END IF;
    BEGIN
        EXECUTE format(
            $sql$
            SELECT array_agg(ROW(
                m.queue_name,
                m.total,
                extract(epoch FROM now() - m.newest)::integer,
                extract(epoch FROM now() - m.oldest)::integer,
                m.last_id,
                now(),
                m.visible,
                null
            )::pgmq.metrics_result)
            FROM (%s) AS m
            $sql$,
            array_to_string(countings, ' UNION ALL ')
        ) INTO v_found USING clock_timestamp();
        RAISE EXCEPTION 'measured' USING ERRCODE = 'PGMQ0';
    EXCEPTION
        WHEN SQLSTATE 'PGMQ0' THEN
            RETURN QUERY SELECT f.* FROM unnest(v_found) AS f;
        WHEN undefined_table OR undefined_function OR undefined_object OR internal_error THEN
            -- One of the queues may have been dropped meanwhile; any other failure is raised again.
            IF cardinality(countings) > 1 THEN
                FOR v_number IN 1..cardinality(countings) LOOP
                    RETURN QUERY
                    SELECT c.*
                    FROM pgmq._count_together(
                        relations[v_number:v_number], countings[v_number:v_number]
                    ) AS c;
                END LOOP;
            ELSIF EXISTS (SELECT FROM pg_class AS c WHERE c.oid = relations[1]) THEN
                RAISE;
            END IF;
    END;
END
$$;
COMMENT ON FUNCTION pgmq._count_together(regclass[], text[]) IS
'The metrics of queues with short tables, by one statement, and without keeping their locks.';
