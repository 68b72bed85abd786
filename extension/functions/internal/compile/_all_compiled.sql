CREATE OR REPLACE FUNCTION pgmq._all_compiled(operation text, queue_name text)
RETURNS SETOF regprocedure
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.oid
    FROM pg_catalog.pg_proc AS p
    WHERE p.proname = pgmq._function_name(operation, queue_name)::name
        AND p.pronamespace = 'pgmq'::regnamespace
$$;
COMMENT ON FUNCTION pgmq._all_compiled(text, text) IS
'The compiled functions of an operation for this queue, whatever their arguments.';

-- Not a join: that can become a scan of all functions.
CREATE OR REPLACE FUNCTION pgmq._function_owner(function regproc)
RETURNS oid
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT p.proowner FROM pg_proc AS p WHERE p.oid = function);
END
$$;
COMMENT ON FUNCTION pgmq._function_owner(regproc) IS 'The owner of a function; null if it is missing.';

CREATE OR REPLACE FUNCTION pgmq._open(functions regprocedure[])
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_function regprocedure;
BEGIN
    FOREACH v_function IN ARRAY functions LOOP
        IF NOT has_function_privilege('public', v_function::oid, 'EXECUTE') THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO public', v_function);
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._open(regprocedure[]) IS 'Let everybody execute these functions.';

CREATE OR REPLACE FUNCTION pgmq._open_compiled(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgmq._open(ARRAY(
        SELECT p.oid::regprocedure
        FROM pg_proc AS p
        WHERE EXISTS (SELECT FROM pg_default_acl AS d WHERE d.defaclobjtype = 'f')
            AND p.pronamespace = 'pgmq'::regnamespace
            AND p.proname = ANY (pgmq._function_names(queue_name))
    ));
END
$$;
COMMENT ON FUNCTION pgmq._open_compiled(text) IS
'Let everybody execute a new queue''s functions, also where default privileges say otherwise.

Who may use the schema and the queue''s tables is what counts. The public functions are left to the
owner of pgmq.';

CREATE OR REPLACE FUNCTION pgmq._internal_functions()
RETURNS SETOF regprocedure
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.oid::regprocedure
    FROM pg_proc AS p
    WHERE p.pronamespace = 'pgmq'::regnamespace
        AND p.proacl IS NOT NULL        -- else everybody may execute it
        AND (starts_with(p.proname, '_') OR p.proname = 'format_table_name')
        -- grant_maintain() says who may execute these.
        AND NOT starts_with(p.proname, '_scheduled_')
$$;
COMMENT ON FUNCTION pgmq._internal_functions() IS
'The functions that most others call, if somebody has granted or revoked them.';

CREATE OR REPLACE FUNCTION pgmq._open_internal()
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgmq._open(ARRAY(
        SELECT f.id
        FROM pgmq._internal_functions() AS f (id)
        WHERE pg_has_role(pgmq._function_owner(f.id), 'USAGE')
    ));
END
$$;
COMMENT ON FUNCTION pgmq._open_internal() IS
'Let everybody execute the internal functions, as after the installation.

Who may execute the public functions stays as it is. The internal ones give no rights: what they do
to a queue takes those to its tables. For the owner of pgmq, and for superusers; those of queues of
other owners are left out.';

CREATE OR REPLACE FUNCTION pgmq._enter_compiled(operation text, queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_function regprocedure;
BEGIN
    FOR v_function IN
        SELECT f
        FROM pgmq._all_compiled(operation, queue_name) AS f
        WHERE NOT EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_proc'::regclass AND d.objid = f AND d.deptype = 'e'
        )
    LOOP
        EXECUTE format('ALTER EXTENSION pgmq ADD FUNCTION %s', v_function);
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._enter_compiled(text, text) IS
'Make the compiled functions of an operation members of the extension for now.

The extension''s script may replace only members, and cannot drop functions that triggers need.';

CREATE OR REPLACE FUNCTION pgmq._drop_compiled(operation text, queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_function regprocedure;
BEGIN
    FOR v_function IN SELECT f FROM pgmq._all_compiled(operation, queue_name) AS f LOOP
        EXECUTE format('DROP FUNCTION %s', v_function);
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._drop_compiled(text, text) IS
'Drop the compiled functions of an operation for this queue.';
