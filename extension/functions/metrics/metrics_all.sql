CREATE OR REPLACE FUNCTION pgmq.metrics_all()
RETURNS SETOF pgmq.metrics_result
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_callers CONSTANT oid[] := pgmq._powerful_callers();
    v_queue record;
    v_others text[] := '{}'::text[];
    v_is_safe boolean;
    v_metrics pgmq.metrics_result;
    -- Short tables that are counted together.
    v_is_short boolean;
    v_relations regclass[] := '{}'::regclass[];
    v_countings text[] := '{}'::text[];
BEGIN
    FOR v_queue IN
        SELECT
            m.queue_name,
            pgmq._queue_table(m.queue_name) AS relation,
            p AS policy
        FROM pgmq.meta AS m
        LEFT JOIN pgmq.policy AS p ON p.queue_name = m.queue_name
        WHERE NOT (m.is_unlogged AND pg_is_in_recovery())
        ORDER BY m.queue_name
    LOOP
        -- Looking at the size lets this session notice what others have created and dropped.
        CONTINUE WHEN pg_relation_size(v_queue.relation) IS NULL
            OR pgmq._may_measure(v_queue.relation) IS NOT true;
        v_is_short := pgmq._is_short(v_queue.relation);
        IF v_is_short THEN
            IF pgmq._is_safe_to_touch(v_queue.relation, v_callers) THEN
                v_relations := v_relations || v_queue.relation;
                v_countings := v_countings || pgmq._counting(
                    v_queue.queue_name, v_queue.relation, v_queue.policy
                );
            ELSE
                v_others := v_others || v_queue.queue_name::text;
            END IF;
            CONTINUE WHEN cardinality(v_countings) < 20;
        END IF;
        RETURN QUERY SELECT c.* FROM pgmq._count_together(v_relations, v_countings) AS c;
        v_relations := '{}';
        v_countings := '{}';
        CONTINUE WHEN v_is_short;
        BEGIN
            v_is_safe := pgmq._is_safe_to_touch(v_queue.relation, v_callers);
            IF v_is_safe THEN
                v_metrics := pgmq._metrics(
                    v_queue.queue_name, v_queue.relation, v_queue.policy
                );
            END IF;
            -- The rollback releases the queue's locks: those of thousands of queues would fill the
            -- lock table.
            RAISE EXCEPTION 'measured' USING ERRCODE = 'PGMQ0';
        EXCEPTION
            WHEN SQLSTATE 'PGMQ0' THEN
                IF v_is_safe THEN
                    RETURN NEXT v_metrics;
                ELSE
                    v_others := v_others || v_queue.queue_name::text;
                END IF;
            WHEN undefined_table OR undefined_function OR undefined_object OR internal_error THEN
                -- The queue may have been dropped meanwhile; any other failure is raised again.
                IF EXISTS (SELECT FROM pg_class AS c WHERE c.oid = v_queue.relation) THEN
                    RAISE;
                END IF;
        END;
    END LOOP;
    RETURN QUERY SELECT c.* FROM pgmq._count_together(v_relations, v_countings) AS c;
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
    v_name text;
    v_total bigint;
    v_hidden bigint;
    v_leased bigint;
    v_dead bigint;
    v_oldest timestamptz;
    v_newest timestamptz;
    v_last_id bigint;
    v_found pgmq.metrics_result[] := '{}'::pgmq.metrics_result[];
BEGIN
    IF countings = '{}' THEN
        RETURN;
    END IF;
    BEGIN
        FOR v_name, v_total, v_hidden, v_leased, v_dead, v_oldest, v_newest, v_last_id IN
            EXECUTE array_to_string(countings, ' UNION ALL ') USING clock_timestamp()
        LOOP
            v_found := v_found || ROW(
                v_name,
                v_total,
                extract(epoch FROM now() - v_newest)::integer,
                extract(epoch FROM now() - v_oldest)::integer,
                v_last_id,
                now(),
                v_total - v_hidden - v_dead,
                null
            )::pgmq.metrics_result;
        END LOOP;
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
