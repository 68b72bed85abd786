CREATE OR REPLACE FUNCTION pgmq.send_once(
    queue_name text,
    msg jsonb,
    dedup_key text,
    headers jsonb DEFAULT null,
    delay integer DEFAULT 0
)
RETURNS TABLE (msg_id bigint, is_new boolean)
LANGUAGE plpgsql VOLATILE ROWS 1
AS $$
DECLARE
    v_function CONSTANT text := pgmq._compiled('sendonce', queue_name);
    v_headers CONSTANT jsonb := pgmq._with_dedup_key(headers, dedup_key);
BEGIN
    IF v_function IS NULL THEN
        PERFORM pgmq._raise_no_window(queue_name);
    END IF;
    RETURN QUERY EXECUTE pg_catalog.format(
        'SELECT * FROM pgmq.%I($1, $2, $3, true)', v_function
    ) USING
        msg, v_headers,
        clock_timestamp() + pg_catalog.make_interval(secs => delay);
END
$$;
COMMENT ON FUNCTION pgmq.send_once(text, jsonb, text, jsonb, integer) IS
'Send a message unless one with the same dedup_key was sent within the queue''s dedup_window.

Returns the msg_id of the first message with the key, and whether this call has sent it. The first
message may have been deleted since; only if its transaction was rolled back does it not count. If
its transaction is still open, the call waits for the end of it. A key has up to 1024 bytes and must
not be null. It is stored in the header x-pgmq-dedup-id.

With the dedup_scope pending, a key is taken until its message has left the queue, in whatever way
and however long that takes, and until the dedup_window is over, if there is one. The message has
left once the transaction that removes it has committed; nobody waits for that.

Raises object_not_in_prerequisite_state for a queue that has neither a dedup_window nor the
dedup_scope pending (see set_policy). Under REPEATABLE READ and SERIALIZABLE, raises
serialization_failure if the first message was committed after the transaction''s snapshot was
taken, or, while it is pending, has been changed or removed since.';

-- An argument without a type (a literal, or a parameter of many drivers) would be ambiguous between
-- the overloads with jsonb and jsonb[]. For such arguments Postgres prefers the one with text.
CREATE OR REPLACE FUNCTION pgmq.send_once(
    queue_name text,
    msg text,
    dedup_key text,
    headers text DEFAULT null,
    delay integer DEFAULT 0
)
RETURNS TABLE (msg_id bigint, is_new boolean)
LANGUAGE sql VOLATILE ROWS 1
AS $$
    SELECT * FROM pgmq.send_once(queue_name, msg::jsonb, dedup_key, headers::jsonb, delay)
$$;
COMMENT ON FUNCTION pgmq.send_once(text, text, text, text, integer) IS
'The same for msg and headers without a type: for literals, and for drivers that send no types.';

CREATE OR REPLACE FUNCTION pgmq.send_once(
    queue_name text,
    msgs jsonb[],
    dedup_keys text[],
    headers jsonb[] DEFAULT null,
    delay integer DEFAULT 0
)
RETURNS TABLE (msg_id bigint, is_new boolean)
LANGUAGE plpgsql VOLATILE ROWS 100
AS $$
DECLARE
    v_function CONSTANT text := pgmq._compiled('sendoncebatch', queue_name);
    v_headers jsonb[];
BEGIN
    PERFORM pgmq._validate_batch_params(msgs, headers);
    IF coalesce(pg_catalog.cardinality(dedup_keys), 0) <> pg_catalog.cardinality(msgs) THEN
        RAISE EXCEPTION 'msgs and dedup_keys differ in length: % and %',
            pg_catalog.cardinality(msgs), coalesce(pg_catalog.cardinality(dedup_keys), 0)
            USING ERRCODE = 'array_subscript_error', HINT = 'Each message has a key.';
    END IF;
    v_headers := ARRAY(
        SELECT pgmq._with_dedup_key(u.header, u.dedup_key)
        FROM unnest(headers, dedup_keys) WITH ORDINALITY AS u (header, dedup_key, place)
        ORDER BY u.place
    );
    IF v_function IS NULL THEN
        PERFORM pgmq._raise_no_window(queue_name);
    END IF;
    RETURN QUERY EXECUTE pg_catalog.format(
        'SELECT * FROM pgmq.%I($1, $2, $3, true)', v_function
    ) USING msgs, v_headers, clock_timestamp() + pg_catalog.make_interval(secs => delay);
END
$$;
COMMENT ON FUNCTION pgmq.send_once(text, jsonb[], text[], jsonb[], integer) IS
'Send the messages of an array, each unless one with its key was sent within the dedup_window.

Returns a row for each message, in order. If several messages of the array have the same key, the
first of them counts. All arrays have the same length; null headers mean none.';
