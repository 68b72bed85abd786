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
    -- An unknown queue is an error even if the queues before it have enough messages.
    PERFORM pgmq._compiled('receive', u.name) FROM pg_catalog.unnest(queue_names) AS u (name);
    -- The marks can only be moved before this transaction has written anything: a later read of the
    -- same transaction cannot do that for its own queue.
    IF pgmq._may_look_after(v_wanted::integer) THEN
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

The first queue gives what it has, the next only what is still wanted, and so on. Each is read as
read does. A queue that always has enough messages keeps those behind it waiting. Each message comes
with the name of its queue, as the caller wrote it. Null qty means no limit.

Raises undefined_table for an unknown queue, wherever it stands, and an error if the array is null,
empty or contains a null.';
