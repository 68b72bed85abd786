-- Some names of 2.0.0 differ from today's: what follows looks for the latter.
SELECT pgmq._rename_parts(m.queue_name) FROM pgmq.meta AS m;

-- 2.0.0 compiled every template into every queue: see functions/internal/_of_2_0_0.sql.
SELECT pgmq._drop_unwanted(m.queue_name)
FROM pgmq.meta AS m
WHERE pgmq._type_of_2_0_0(m.queue_name) IS NOT null;
DELETE FROM pgmq.template
WHERE name IN (
    SELECT p.name
    FROM pgmq._parts_of_2_0_0() AS p
    WHERE p.is_compiled
);

-- Bring the tables of queues from an older layout (upstream 1.13, an earlier 2.x) to today's.
-- Writers of a table wait while its two partial indexes are built. (Somebody else owns a queue only
-- where this is not over an older version: see lock_queues.sql.)
SELECT pgmq._lay_out(m.queue_name)
FROM pgmq.meta AS m
WHERE
    pgmq._queue_table(m.queue_name) IS NOT null
    AND pg_has_role(pgmq._owner(pgmq._queue_table(m.queue_name)), 'USAGE');

-- Adopt partitioned queues and archives, whether pg_partman still maintains them or no longer.
SELECT pgmq._adopt_partitions(m.queue_name, a.is_archive)
FROM pgmq.meta AS m
CROSS JOIN (VALUES (false), (true)) AS a (is_archive);
SELECT pgmq._add_replica_identity(pgmq._queue_table(m.queue_name, a.is_archive))
FROM pgmq.meta AS m
CROSS JOIN (VALUES (false), (true)) AS a (is_archive)
INNER JOIN pg_partitioned_table AS t
    ON t.partrelid = pgmq._queue_table(m.queue_name, a.is_archive)
WHERE pgmq._type_of_2_0_0(m.queue_name) IS null;

-- Adopt the settings of notifications, which upstream keeps in a table.
DO $$
DECLARE
    v_queue record;
    v_view record;
BEGIN
    FOR v_queue IN
        -- Two names that differ only in case are of one table.
        SELECT DISTINCT t.tgrelid::regclass AS name
        FROM pgmq.meta AS m
        INNER JOIN pg_trigger AS t ON t.tgrelid = pgmq._queue_table(m.queue_name)
        WHERE t.tgname = 'trigger_notify_queue_insert_listeners' AND t.tgparentid = 0
            AND t.tgconstraint <> 0
    LOOP
        EXECUTE format('DROP TRIGGER trigger_notify_queue_insert_listeners ON %s', v_queue.name);
    END LOOP;
    IF to_regclass('pgmq.notify_insert_throttle_of_1') IS NULL THEN
        RETURN;
    END IF;
    FOR v_queue IN
        SELECT n.queue_name, n.throttle_interval_ms
        FROM pgmq.notify_insert_throttle_of_1 AS n
        WHERE pgmq._queue_table(n.queue_name) IS NOT NULL
    LOOP
        PERFORM pgmq._compile(v_queue.queue_name);
        PERFORM pgmq.enable_notify_insert(v_queue.queue_name, v_queue.throttle_interval_ms);
    END LOOP;
    -- Users' views on the table now read the view. Anything else that depends on the table makes
    -- the DROP below fail.
    FOR v_view IN
        SELECT DISTINCT
            c.oid::regclass AS name,
            pg_get_viewdef(c.oid) AS query,
            ' WITH (' || array_to_string(c.reloptions, ', ') || ')' AS options
        FROM pg_depend AS d
        INNER JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
        INNER JOIN pg_class AS c ON r.ev_class = c.oid
        WHERE d.refclassid = 'pg_class'::regclass AND c.relkind = 'v'
            AND d.refobjid = 'pgmq.notify_insert_throttle_of_1'::regclass
    LOOP
        IF pgmq._in_extension_script() THEN     -- a script may replace only members
            EXECUTE format('ALTER EXTENSION pgmq ADD VIEW %s', v_view.name);
        END IF;
        EXECUTE format(
            'CREATE OR REPLACE VIEW %s%s AS %s', v_view.name, v_view.options,
            replace(v_view.query, 'notify_insert_throttle_of_1', 'notify_insert_throttle')
        );
        IF pgmq._in_extension_script() THEN
            EXECUTE format('ALTER EXTENSION pgmq DROP VIEW %s', v_view.name);
        END IF;
    END LOOP;
    -- Rights to the table become rights to the view.
    PERFORM pgmq._copy_grants('pgmq.notify_insert_throttle_of_1', 'pgmq.notify_insert_throttle');
    DROP TABLE pgmq.notify_insert_throttle_of_1;
END
$$;

-- With this of 2.0.0, a call of today's would be ambiguous.
DROP FUNCTION IF EXISTS pgmq._create(text, boolean, text, text, integer);

-- 2.0.0 stored patterns of exchanges with more wildcards than they need.
INSERT INTO pgmq.binding (exchange_name, queue_name, channel, pattern, kind, bound_at)
SELECT
    b.exchange_name,
    b.queue_name,
    b.channel,
    pgmq._merge_wildcards(b.pattern) AS pattern,
    b.kind,
    b.bound_at
FROM pgmq.binding AS b
WHERE b.kind = 'topic' AND b.pattern ~ '#[.][*#]'
ON CONFLICT DO NOTHING;
DELETE FROM pgmq.binding AS b
WHERE b.kind = 'topic' AND b.pattern ~ '#[.][*#]';

-- In 2.0.0 these had fewer arguments, and retry_jitter had the type real, though drivers bind a
-- float as double precision. With both functions, a call would be ambiguous. What a view or an SQL
-- function depends on stays under another name, calls today's, and is the user's: a dump has it.
DO $$
DECLARE
    v_old record;
    v_kept text;
BEGIN
    FOR v_old IN
        SELECT
            p.oid::regprocedure AS id,
            p.proname AS name,
            pg_get_function_arguments(p.oid) AS arguments,
            pg_get_function_result(p.oid) AS result,
            (
                SELECT string_agg(concat('$', i.number), ', ' ORDER BY i.number)
                FROM generate_series(1, p.pronargs) AS i (number)
            ) AS given
        FROM pg_proc AS p
        WHERE p.oid IN (
            to_regprocedure(
                'pgmq.set_policy(text, integer, text, interval, interval, real, interval, interval,'
                ' interval, integer, boolean)'
            ),
            to_regprocedure('pgmq.redrive(text, text, integer)')
        )
    LOOP
        BEGIN
            EXECUTE format('DROP FUNCTION %s', v_old.id);
        EXCEPTION WHEN dependent_objects_still_exist THEN
            v_kept := format('_%s_2_0_0', v_old.name);
            EXECUTE format('ALTER FUNCTION %s RENAME TO %I', v_old.id, v_kept);
            EXECUTE format(
                'CREATE OR REPLACE FUNCTION pgmq.%I(%s) RETURNS %s LANGUAGE sql AS %L',
                v_kept, v_old.arguments, v_old.result,
                format('SELECT pgmq.%I(%s)', v_old.name, v_old.given)
            );
            IF pgmq._in_extension_script() THEN
                EXECUTE format('ALTER EXTENSION pgmq DROP FUNCTION %s', v_old.id);
            END IF;
        END;
    END LOOP;
END
$$;
