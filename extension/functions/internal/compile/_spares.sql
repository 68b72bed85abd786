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
    v_function record;
BEGIN
    SELECT f.id::oid AS oid, pgmq._function_owner(f.id) AS owner INTO v_first
    FROM pgmq._all_compiled('enqueue', queue_name) AS f (id)
    LIMIT 1;
    -- To rename them takes both rights. Nobody waits for another who ties functions: see _tie_spares.
    IF pg_has_role(v_first.owner, 'USAGE') AND has_schema_privilege('pgmq', 'CREATE')
        AND (SELECT count(*) FROM pgmq._spares(v_first.owner)) < v_most
        AND to_regproc(format('pgmq.%I', format('spare enqueue %s', v_first.oid))) IS NULL
        AND pg_try_advisory_xact_lock(hashtext('pgmq.spare'), hashtext('extension'))
    THEN
        FOR v_function IN
            SELECT
                p.oid::regprocedure AS id,
                format('spare %s %s', t.name, v_first.oid) AS name
            FROM pgmq._templates() AS t
            INNER JOIN pg_proc AS p
                ON p.proname = pgmq._function_name(t.name, _retire.queue_name)::name
            -- Looked up in the index, whatever is known of the catalogs.
            WHERE p.pronamespace = 'pgmq'::regnamespace
                AND p.proname = ANY (pgmq._function_names(queue_name))
                AND p.proacl IS NULL AND p.proowner = v_first.owner
                -- Without queues there is nothing to keep the extension for.
                AND t.plain IS NOT NULL AND t.name <> 'anchor'
        LOOP
            EXECUTE format('ALTER FUNCTION %s RENAME TO %I', v_function.id, v_function.name);
        END LOOP;
        PERFORM pgmq._tie_spares();
    END IF;
    PERFORM pgmq._drop_functions(queue_name), pgmq._drop_remains(queue_name);
    PERFORM pgmq._shed(queue_name);
END
$$;
COMMENT ON FUNCTION pgmq._retire(text) IS
'Put the compiled functions of a dropped queue aside for the next queues of its owner, or drop them.';

CREATE OR REPLACE FUNCTION pgmq._drop_functions(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_function regprocedure;
BEGIN
    FOR v_function IN
        SELECT p.oid
        FROM pg_proc AS p
        WHERE p.pronamespace = 'pgmq'::regnamespace
            AND p.proname = ANY (
                pgmq._function_names(queue_name)
                || pgmq._function_name('scheduled', queue_name)::name
            )
            AND (pg_has_role(p.proowner, 'USAGE') OR pgmq._owns_schema())
    LOOP
        EXECUTE format('DROP FUNCTION %s', v_function);
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._drop_functions(text) IS
'Drop the compiled functions of a queue, as far as the caller may.';

-- SECURITY DEFINER: the table of a queue may have been given to a role that the functions do not
-- belong to. The owner of the schema may drop them.
CREATE OR REPLACE FUNCTION pgmq._drop_remains(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgmq.acquire_queue_lock(lower(queue_name));     -- nobody is creating it
    IF NOT pgmq._is_listed(queue_name) AND pgmq._queue_table(queue_name) IS NULL THEN
        PERFORM pgmq._drop_functions(queue_name);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._drop_remains(text) IS
'Drop the compiled functions of a queue that there is no longer, whosever they are.';

-- DROP EXTENSION then takes them along, and leaves an empty schema. To tie a function locks the
-- extension until the transaction ends.
CREATE OR REPLACE FUNCTION pgmq._tie_spares()
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_extension CONSTANT oid := (SELECT e.oid FROM pg_extension AS e WHERE e.extname = 'pgmq');
    v_function regprocedure;
BEGIN
    FOR v_function IN
        SELECT p.oid
        FROM pg_proc AS p
        WHERE p.proname >= 'spare '::name AND p.proname < 'spare!'::name
            AND p.pronamespace = 'pgmq'::regnamespace AND pg_has_role(p.proowner, 'USAGE')
            AND v_extension IS NOT NULL
            AND NOT EXISTS (
                SELECT FROM pg_depend AS d
                WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                    AND d.refclassid = 'pg_extension'::regclass AND d.refobjid = v_extension
            )
    LOOP
        EXECUTE format('ALTER FUNCTION %s DEPENDS ON EXTENSION pgmq', v_function);
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._tie_spares() IS
'Let functions that were put aside go with the extension, if there is one.

A function that is replaced, as it is for its next queue, is not tied any longer.';

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
