CREATE OR REPLACE FUNCTION pgmq.read_any(queue_names text[], vt integer, qty integer DEFAULT 1)
RETURNS SETOF pgmq.queue_message_record
LANGUAGE plpgsql VOLATILE ROWS 10
AS $$
DECLARE
    v_wanted bigint := coalesce(qty, 2147483647);
    v_name text;
    v_found bigint;
BEGIN
    IF coalesce(pg_catalog.cardinality(queue_names), 0) = 0 THEN
        RAISE EXCEPTION 'queue names must not be null or empty'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give an array of queue names.';
    END IF;
    -- Unknown queues are errors, also behind one that has enough.
    PERFORM pgmq._compiled('read', u.name) FROM pg_catalog.unnest(queue_names) AS u (name);
    -- A read that comes after another one in a transaction cannot move the marks of its queue.
    IF pgmq._chance(v_wanted::integer, 32) THEN
        SELECT u.name INTO v_name
        FROM pg_catalog.unnest(queue_names) AS u (name)
        ORDER BY random()
        LIMIT 1;
        PERFORM pgmq._look_after(v_name, v_wanted::integer);
    END IF;
    FOREACH v_name IN ARRAY queue_names LOOP
        RETURN QUERY
            SELECT v_name, m.* FROM pgmq.read(v_name, vt, v_wanted::integer) AS m;
        GET DIAGNOSTICS v_found = ROW_COUNT;
        v_wanted := v_wanted - v_found;
        EXIT WHEN v_wanted <= 0;
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq.read_any(text[], integer, integer) IS
'Lease up to qty visible messages of several queues, in the order of the queues.

From the first queue what it has, from the next only what is still wanted, and so on, each as read does. Each message comes with the name of its queue as it was given. A queue that always has enough keeps those behind it waiting. Null qty means no limit.

Raises undefined_table for an unknown queue, wherever it stands, and an error for a null or empty array or a null in it.';
