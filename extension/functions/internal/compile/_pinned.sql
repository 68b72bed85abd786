-- Usually the name of a queue's function is put together in a statement that is parsed and planned
-- on each call, which is about a fifth of the cost of a single call. For a few queues the names can
-- stand in functions instead: _pinned(queue_name) says for which, and _pinned_<operation>() finds
-- the queue's function by comparing names. Each session compiles these functions anew when they
-- change, so they are for a few queues that stay.
--
-- pgmq.pinned lists the queues. As installed, and after a restore, the functions know no queue at
-- all. Nothing is lost then: calls go the usual way.
CREATE OR REPLACE FUNCTION pgmq._write_pinned()
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET check_function_bodies = off
SET client_min_messages = warning SET quote_all_identifiers = off
AS $$
DECLARE
    v_names CONSTANT text[] := ARRAY(
        -- The name as it was created, and in lower case, as others may write it.
        SELECT DISTINCT n.name COLLATE "C"
        FROM pgmq.pinned AS p
        CROSS JOIN LATERAL (VALUES (p.queue_name), (lower(p.queue_name))) AS n (name)
        WHERE pgmq._enabled('enqueue', p.queue_name) IS NOT NULL
        ORDER BY n.name COLLATE "C"
    );
    v_function record;
BEGIN
    FOR v_function IN
        SELECT f.*
        FROM (
            SELECT
                '_pinned' AS name, 'queue_name text' AS arguments, 'boolean' AS result,
                'LANGUAGE sql STABLE' AS options,
                CASE
                    WHEN v_names = '{}' THEN 'SELECT false'
                    ELSE format('SELECT queue_name = ANY (%L::text[])', v_names)
                END AS body
            UNION ALL
            SELECT
                '_pinned_' || o.operation, concat_ws(', ', 'queue_name text', o.arguments), o.result,
                concat('LANGUAGE plpgsql VOLATILE', CASE WHEN o.result ~ '^SETOF' THEN ' ROWS 10' END),
                format(
                    E'BEGIN\n%sEND',
                    pgmq._pin_branch(
                        v_names, o.operation,
                        CASE WHEN o.result ~ '^SETOF' THEN 'RETURN QUERY SELECT * FROM' ELSE 'RETURN' END,
                        concat(
                            regexp_replace(o.arguments, '([a-z_]+) [^,]+', E'\\1', 'g'),
                            CASE WHEN o.result ~ 'record$' THEN ', null::' || substr(o.result, 7) END
                        )
                    )
                )
            FROM (VALUES
                ('enqueue', 'msg jsonb, headers jsonb, visible_at timestamptz', 'bigint'),
                ('receive', 'vt integer, quantity integer', 'SETOF pgmq.message_record'),
                ('consume', 'quantity integer', 'SETOF pgmq.message_record'),
                (
                    'park', 'ids bigint[], visible_at timestamptz, is_read boolean',
                    'SETOF pgmq.message_record'
                ),
                ('remove', 'id bigint, receipt integer', 'boolean'),
                ('removemany', 'ids bigint[], receipts integer[]', 'SETOF bigint'),
                ('archive', 'id bigint', 'boolean')
            ) AS o (operation, arguments, result)
        ) AS f
        WHERE NOT EXISTS (
            SELECT FROM pg_proc AS p
            WHERE p.pronamespace = 'pgmq'::regnamespace AND p.proname = f.name AND p.prosrc = f.body
        )
    LOOP
        EXECUTE format(
            'CREATE OR REPLACE FUNCTION pgmq.%I(%s) RETURNS %s %s AS %L', v_function.name,
            v_function.arguments, v_function.result, v_function.options, v_function.body
        );
        EXECUTE format(
            'COMMENT ON FUNCTION pgmq.%I IS %L', v_function.name, CASE v_function.name
                WHEN '_pinned' THEN 'Whether pin() was called for this queue.'
                ELSE 'Call this function of a queue that is pinned.'
            END
        );
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._write_pinned() IS
'Write the functions _pinned...(), which call those of the queues in pgmq.pinned, where they differ.';

CREATE OR REPLACE FUNCTION pgmq._pin_branch(
    names text[],
    operation text,
    verb text,
    arguments text
)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE cardinality(names)
        WHEN 0 THEN ''
        WHEN 1 THEN format(
            E'%s pgmq.%I(%s);\n', verb, pgmq._function_name(operation, names[1]), arguments
        )
        ELSE format(
            E'IF queue_name < %L COLLATE pg_catalog."C" THEN\n%sELSE\n%sEND IF;\n',
            names[m.half + 1],
            pgmq._pin_branch(names[:m.half], operation, verb, arguments),
            pgmq._pin_branch(names[m.half + 1:], operation, verb, arguments)
        )
    END
    FROM (SELECT cardinality(names) / 2 AS half) AS m
$$;
COMMENT ON FUNCTION pgmq._pin_branch(text[], text, text, text) IS
'The statements that call this function of one of these queues (names in order), by bisection.';

CREATE OR REPLACE FUNCTION pgmq._lock_pinned(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_owner CONSTANT regrole := (
        SELECT p.proowner FROM pg_proc AS p WHERE p.oid = 'pgmq._pinned(text)'::regprocedure
    );
BEGIN
    IF NOT pg_has_role(v_owner, 'USAGE') THEN
        RAISE EXCEPTION 'permission denied to pin or unpin queue "%"', queue_name
            USING ERRCODE = 'insufficient_privilege', HINT = format(
                'That writes functions of pgmq: its owner %s can SELECT pgmq.unpin(%L).', v_owner,
                queue_name
            );
    END IF;
    LOCK TABLE pgmq.pinned IN SHARE ROW EXCLUSIVE MODE;
END
$$;
COMMENT ON FUNCTION pgmq._lock_pinned(text) IS
'Lock pgmq.pinned against other changes; raise an error unless the caller owns pgmq.';
