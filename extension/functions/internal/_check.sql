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
COMMENT ON FUNCTION pgmq._check_read(integer, integer) IS 'Raise the error that a null vt or a negative qty deserves.';

CREATE OR REPLACE FUNCTION pgmq._check_leases(msg_ids bigint[], read_cts integer[])
RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    IF coalesce(cardinality(msg_ids), 0) <> coalesce(cardinality(read_cts), 0) THEN
        RAISE EXCEPTION 'msg_ids and read_cts differ in length: % and %',
            coalesce(cardinality(msg_ids), 0), coalesce(cardinality(read_cts), 0)
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
    IF coalesce(cardinality(msgs), 0) = 0 THEN
        RAISE EXCEPTION 'msgs cannot be NULL or empty';
    END IF;
    IF cardinality(headers) <> cardinality(msgs) THEN
        RAISE EXCEPTION 'headers array length (%) must match msgs array length (%)',
            cardinality(headers), cardinality(msgs);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._validate_batch_params(jsonb[], jsonb[]) IS
'Raise an error unless there is a message, and null headers or as many as messages.';

CREATE OR REPLACE FUNCTION pgmq._raise_null(argument text, hint text)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    RAISE EXCEPTION '% must not be null', argument
        USING ERRCODE = 'null_value_not_allowed', HINT = hint;
END
$$;
COMMENT ON FUNCTION pgmq._raise_null(text, text) IS 'Raise the error that a null argument of this name deserves.';
