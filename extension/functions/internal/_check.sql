CREATE OR REPLACE FUNCTION pgmq._check_read(vt integer, qty integer)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    IF vt IS NULL THEN
        PERFORM pgmq._raise_null('vt', 'Give the seconds until the message is visible again.');
    END IF;
    IF qty < 0 THEN
        RAISE EXCEPTION 'qty must not be negative: %', qty
            USING ERRCODE = 'invalid_row_count_in_limit_clause', HINT = 'Null means no limit.';
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._check_read(integer, integer) IS
'Raise an error for a null vt or a negative qty.';

CREATE OR REPLACE FUNCTION pgmq._raise_paused(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    RAISE EXCEPTION 'queue "%" is paused: nothing can be sent to it', queue_name
        USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = pg_catalog.format('Its owner can SELECT pgmq.resume(%L).', queue_name);
END
$$;
COMMENT ON FUNCTION pgmq._raise_paused(text) IS
'Raise the error for a send to a queue whose sends are paused.';

CREATE OR REPLACE FUNCTION pgmq._check_extension(vt integer)
RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    IF vt IS NULL THEN
        PERFORM pgmq._raise_null('vt', 'Give the number of seconds to keep the message for.');
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._check_extension(integer) IS 'Raise an error for a null vt of extend().';

CREATE OR REPLACE FUNCTION pgmq._check_leases(msg_ids bigint[], read_cts integer[])
RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    v_msg_ids integer := coalesce(pg_catalog.cardinality(msg_ids), 0);
    v_read_cts integer := coalesce(pg_catalog.cardinality(read_cts), 0);
BEGIN
    IF v_msg_ids <> v_read_cts THEN
        RAISE EXCEPTION 'msg_ids and read_cts differ in length: % and %', v_msg_ids, v_read_cts
            USING ERRCODE = 'array_subscript_error',
                HINT = 'A lease is a msg_id with the read_ct that came with it.';
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._check_leases(bigint[], integer[]) IS 'Raise an error unless each msg_id has its read_ct.';

CREATE OR REPLACE FUNCTION pgmq._validate_batch_params(msgs jsonb[], headers jsonb[])
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    IF coalesce(pg_catalog.cardinality(msgs), 0) = 0 THEN
        RAISE EXCEPTION 'msgs cannot be NULL or empty';
    END IF;
    IF pg_catalog.cardinality(headers) <> pg_catalog.cardinality(msgs) THEN
        RAISE EXCEPTION 'headers array length (%) must match msgs array length (%)',
            pg_catalog.cardinality(headers), pg_catalog.cardinality(msgs);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._validate_batch_params(jsonb[], jsonb[]) IS
'Raise an error unless there is a message, and null headers or as many as messages.';

CREATE OR REPLACE FUNCTION pgmq._with_dedup_key(headers jsonb, dedup_key text)
RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    IF dedup_key IS NULL THEN
        PERFORM pgmq._raise_null('dedup_key', 'Use send() for a message that is always new.');
    END IF;
    IF jsonb_typeof(headers) NOT IN ('object', 'null') THEN
        RAISE EXCEPTION 'headers must be a JSON object, not %: %', jsonb_typeof(headers), headers
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'The dedup_key becomes one of them, x-pgmq-dedup-id.';
    END IF;
    RETURN pgmq._headers(headers) || pg_catalog.jsonb_build_object('x-pgmq-dedup-id', dedup_key);
END
$$;
COMMENT ON FUNCTION pgmq._with_dedup_key(jsonb, text) IS
'The headers of a message that is to be sent once: those given, and its key in x-pgmq-dedup-id.';

CREATE OR REPLACE FUNCTION pgmq._raise_no_window(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    RAISE EXCEPTION 'queue "%" has no dedup_window', queue_name
        USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = pg_catalog.format(
                'Its owner can SELECT pgmq.alter_policy(%L, dedup_window => ''1 hour'').',
                queue_name
            );
END
$$;
COMMENT ON FUNCTION pgmq._raise_no_window(text) IS
'Raise the error of send_once() for a queue without a dedup_window.';

CREATE OR REPLACE FUNCTION pgmq._raise_null(argument text, hint text)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    RAISE EXCEPTION '% must not be null', argument
        USING ERRCODE = 'null_value_not_allowed', HINT = hint;
END
$$;
COMMENT ON FUNCTION pgmq._raise_null(text, text) IS
'Raise the error for a null argument of this name.';
