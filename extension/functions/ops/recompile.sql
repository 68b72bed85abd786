CREATE OR REPLACE FUNCTION pgmq.recompile(queue_name text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_before text;
BEGIN
    IF NOT pgmq._is_listed(queue_name) THEN
        PERFORM pgmq._compiled('read', queue_name);     -- which says so
    END IF;
    v_before := pgmq._written(queue_name);
    PERFORM pgmq._compile(queue_name);      -- which looks for differences: rendering takes its time
    RETURN v_before IS DISTINCT FROM pgmq._written(queue_name);
END
$$;
COMMENT ON FUNCTION pgmq.recompile(text) IS
'Give a queue the functions of the installed templates; return whether it lacked any.

What recompile_all() does for all queues, for those who have thousands: call it in a transaction for each. For the owner of the queue, and for superusers.';

CREATE OR REPLACE FUNCTION pgmq._written(queue_name text)
RETURNS text
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(format('%s %s', p.oid, p.xmin), ',' ORDER BY p.oid)
    FROM pg_proc AS p
    WHERE p.pronamespace = 'pgmq'::regnamespace
        AND p.proname = ANY (ARRAY(
            SELECT pgmq._function_name(t.name, queue_name)::name FROM pgmq.template AS t
        ))
$$;
COMMENT ON FUNCTION pgmq._written(text) IS
'The functions that were compiled into a queue, and which transaction has written each.';
