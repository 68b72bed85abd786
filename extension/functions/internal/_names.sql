-- Names of queues, and names made from them. A queue is what pgmq.meta lists. Its table, archive,
-- indexes and functions have names made from the queue's name. But a name alone proves nothing: it
-- may belong to a partition, to an archive that was put aside, or to an object made by hand.
CREATE OR REPLACE FUNCTION pgmq._suffix(queue_name text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    -- The longest prefix (archived_at_idx_) leaves 47 of an identifier's 63 bytes. In lower case a
    -- name may have more bytes, or less: in Turkish, an I becomes two.
    SELECT CASE
        WHEN octet_length(lower(queue_name)) <= 47 THEN lower(queue_name)
        ELSE md5(lower(queue_name))
    END
$$;
COMMENT ON FUNCTION pgmq._suffix(text) IS
'The end of the names of a queue''s indexes, sequences and compiled functions.';

CREATE OR REPLACE FUNCTION pgmq._function_name(operation text, queue_name text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT '_' || operation || '_' || pgmq._suffix(queue_name)
$$;
COMMENT ON FUNCTION pgmq._function_name(text, text) IS
'The name of the function that an operation is compiled into for this queue.';

CREATE OR REPLACE FUNCTION pgmq._function_names(queue_name text)
RETURNS name[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ARRAY(SELECT pgmq._function_name(t.name, queue_name)::name FROM pgmq._templates() AS t)
$$;
COMMENT ON FUNCTION pgmq._function_names(text) IS
'The names that compiled functions of this queue can have; pg_proc is looked up by them in its index.';

CREATE OR REPLACE FUNCTION pgmq._enabled(operation text, queue_name text)
RETURNS text
LANGUAGE sql VOLATILE
AS $$
    -- One expression, so that it is inlined.
    SELECT CASE
        WHEN to_regproc('pgmq.' || quote_ident(pgmq._function_name(operation, queue_name)))
            IS NOT NULL
            THEN pgmq._function_name(operation, queue_name)
    END
$$;
COMMENT ON FUNCTION pgmq._enabled(text, text) IS
'The name of the compiled function of an operation that only some queues have; null without it.';

CREATE OR REPLACE FUNCTION pgmq._is_listed(queue_name text)
RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER        -- senders and readers may have no right to the table
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM pgmq.meta AS m WHERE lower(m.queue_name) = lower(_is_listed.queue_name)
    )
$$;
COMMENT ON FUNCTION pgmq._is_listed(text) IS 'Whether there is a queue of this name, in whatever case.';

CREATE OR REPLACE FUNCTION pgmq._lock_queue_name(queue_name text)
RETURNS text
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- The queue cannot be dropped between this look and the insertion that refers to it.
    PERFORM pgmq.acquire_queue_lock(lower(queue_name));
    RETURN (
        SELECT m.queue_name
        FROM pgmq.meta AS m
        WHERE lower(m.queue_name) = lower(_lock_queue_name.queue_name)
        ORDER BY m.queue_name = _lock_queue_name.queue_name DESC
        LIMIT 1
    );
END
$$;
COMMENT ON FUNCTION pgmq._lock_queue_name(text) IS
'A queue''s name as it was created, whatever the case of the one given; hold the queue''s lock.

Null for an unknown queue.';

CREATE OR REPLACE FUNCTION pgmq._lock_queue(queue_name text)
RETURNS text
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_name text := pgmq._lock_queue_name(queue_name);
BEGIN
    IF v_name IS NULL THEN
        RAISE EXCEPTION 'queue "%" does not exist', queue_name
            USING ERRCODE = 'undefined_table', HINT = 'It has just been dropped.';
    END IF;
    RETURN v_name;
END
$$;
COMMENT ON FUNCTION pgmq._lock_queue(text) IS
'What _lock_queue_name() does, but an unknown queue is an error.';
