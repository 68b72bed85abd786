-- PL/pgSQL keeps a compiled function as long as the session lasts. It frees it only when the
-- function with the same oid is called again and has changed since. So a session that uses very
-- many queues, one after another, would grow and grow. Therefore some functions of dropped queues
-- are put aside, and become those of the next queues of the same owner.
CREATE OR REPLACE FUNCTION pgmq._retire(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_most CONSTANT integer := 32;      -- sets of functions of an owner
    v_first record;
    v_is_kept boolean;
    v_function record;
BEGIN
    SELECT f.id::oid AS oid, pgmq._function_owner(f.id) AS owner INTO v_first
    FROM pgmq._all_compiled('enqueue', queue_name) AS f (id)
    LIMIT 1;
    v_is_kept := (SELECT count(*) FROM pgmq._spares(v_first.owner)) < v_most
        AND to_regproc(format('pgmq.%I', format('spare enqueue %s', v_first.oid))) IS NULL;
    FOR v_function IN
        SELECT
            p.oid::regprocedure AS id,
            format('spare %s %s', t.name, v_first.oid) AS name,
            v_is_kept AND t.is_plain AND p.proacl IS NULL AND p.proowner = v_first.owner AS is_kept
        FROM (
            -- Without queues there is nothing to keep the extension for.
            SELECT b.name, bool_or(b.plain IS NOT NULL) AND b.name <> 'anchor' AS is_plain
            FROM pgmq._templates() AS b
            GROUP BY b.name
        ) AS t
        INNER JOIN pg_proc AS p
            ON p.proname = pgmq._function_name(t.name, _retire.queue_name)::name
        -- Looked up in the index, whatever is known of the catalogs.
        WHERE p.pronamespace = 'pgmq'::regnamespace
            AND p.proname = ANY (pgmq._function_names(queue_name))
    LOOP
        IF v_function.is_kept THEN
            EXECUTE format('ALTER FUNCTION %s RENAME TO %I', v_function.id, v_function.name);
        ELSE
            EXECUTE format('DROP FUNCTION %s', v_function.id);
        END IF;
    END LOOP;
    PERFORM pgmq._shed(queue_name);
END
$$;
COMMENT ON FUNCTION pgmq._retire(text) IS
'Put the compiled functions of a queue aside for the next queues of its owner, or drop them.';

CREATE OR REPLACE FUNCTION pgmq._spares(owner oid)
RETURNS SETOF text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
        SELECT split_part(p.proname, ' ', 3)
        FROM pg_proc AS p
        WHERE p.proname >= 'spare enqueue '::name AND p.proname < 'spare enqueue :'::name
            AND p.pronamespace = 'pgmq'::regnamespace AND p.proowner = owner;
END
$$;
COMMENT ON FUNCTION pgmq._spares(oid) IS
'The sets of functions of this owner that were put aside, each by the end of their names.';

CREATE OR REPLACE FUNCTION pgmq._reuse(queue_name text, owner oid)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_set CONSTANT text := (
        SELECT s.number
        FROM pgmq._spares(owner) AS s (number)
        -- Two queues must not take the same set.
        WHERE pg_try_advisory_xact_lock(hashtext('pgmq.spare'), hashtext(s.number))
        LIMIT 1
    );
    v_spare record;
BEGIN
    IF v_set IS NULL THEN
        RETURN false;
    END IF;
    -- Look them up by name: by now they may be a queue's functions, with other names.
    FOR v_spare IN
        SELECT format('spare %s %s', t.name, v_set) AS name, t.name AS operation
        FROM pgmq._templates() AS t
        WHERE t.plain IS NOT NULL
    LOOP
        IF to_regproc(format('pgmq.%I', v_spare.name)) IS NOT NULL THEN
            EXECUTE format(
                'ALTER FUNCTION pgmq.%I RENAME TO %I',
                v_spare.name, pgmq._function_name(v_spare.operation, queue_name)
            );
        END IF;
    END LOOP;
    RETURN true;
EXCEPTION WHEN undefined_function THEN
    RETURN false;
END
$$;
COMMENT ON FUNCTION pgmq._reuse(text, oid) IS
'Give a queue the functions that were put aside, if any; they are then replaced by its own.

Returns whether it got some.';
