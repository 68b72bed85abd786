CREATE OR REPLACE FUNCTION pgmq._schedule(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
AS $$
DECLARE
    v_function CONSTANT text := format('pgmq.%I', pgmq._function_name('scheduled', queue_name));
BEGIN
    -- An existing function is replaced: a former owner of the queue may have changed it.
    EXECUTE format(
        $ddl$
        CREATE OR REPLACE FUNCTION %s() RETURNS bigint
        LANGUAGE plpgsql VOLATILE SECURITY DEFINER
        SET search_path = pg_catalog, pg_temp
        AS %L
        $ddl$,
        v_function, format('BEGIN RETURN pgmq._maintain(%L); END', queue_name)
    );
    EXECUTE format('REVOKE ALL ON FUNCTION %s() FROM public', v_function);
    EXECUTE format(
        'ALTER FUNCTION %s() OWNER TO %s', v_function, pgmq._owner(pgmq._queue_table(queue_name))
    );
END
$$;
COMMENT ON FUNCTION pgmq._schedule(text) IS
'Create or correct the function by which schedulers maintain a queue with its owner''s rights.';
