CREATE OR REPLACE FUNCTION pgmq._suffix(queue_name text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    -- The longest prefix (archived_at_idx_) leaves 47 of an identifier's 63 bytes.
    SELECT CASE
        WHEN octet_length(queue_name) <= 47 THEN lower(queue_name)
        ELSE md5(lower(queue_name))
    END
$$;
COMMENT ON FUNCTION pgmq._suffix(text) IS
'How the names of a queue''s indexes, sequences and compiled functions end.';

CREATE OR REPLACE FUNCTION pgmq._function_name(operation text, queue_name text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT '_' || operation || '_' || pgmq._suffix(queue_name)
$$;
COMMENT ON FUNCTION pgmq._function_name(text, text) IS
'The name of the function that an operation is compiled into for this queue.';
