CREATE OR REPLACE FUNCTION pgmq.recompile(queue_name text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_before text;
BEGIN
    IF NOT pgmq._is_listed(queue_name) THEN
        PERFORM pgmq._compiled('enqueue', queue_name);     -- an unknown queue is an error
    END IF;
    v_before := pgmq._written(queue_name);
    PERFORM pgmq._compile(queue_name);      -- replaces only what differs
    RETURN v_before IS DISTINCT FROM pgmq._written(queue_name);
END
$$;
COMMENT ON FUNCTION pgmq.recompile(text) IS
'Give a queue the functions of the installed templates; return whether any was missing or different.

With thousands of queues use this instead of recompile_all(), with a transaction for each queue. The
owner of the queue may call it, and superusers.';

CREATE OR REPLACE FUNCTION pgmq._written(queue_name text)
RETURNS text
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(format('%s %s', p.oid, p.xmin), ',' ORDER BY p.oid)
    FROM pg_proc AS p
    WHERE p.pronamespace = 'pgmq'::regnamespace
        AND p.proname = ANY (pgmq._function_names(queue_name))
$$;
COMMENT ON FUNCTION pgmq._written(text) IS
'The functions that are compiled into a queue, and the transaction that has written each.';
