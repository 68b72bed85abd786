CREATE OR REPLACE FUNCTION pgmq._compiled(operation text, queue_name text)
RETURNS text
LANGUAGE sql VOLATILE
AS $$
    -- Inlined into every dispatcher, so it must stay one expression, and a cheap one: a name that
    -- is not in lower case, or long, is found the slow way. (to_regproc() cuts off what is too long
    -- for a name. The rest could be the function of a shorter queue.)
    SELECT CASE
        WHEN octet_length(queue_name) <= 47
            AND to_regproc('pgmq.' || quote_ident('_' || operation || '_' || queue_name)) IS NOT NULL
            THEN '_' || operation || '_' || queue_name
        ELSE pgmq._find_or_compile(operation, queue_name)
    END
$$;
COMMENT ON FUNCTION pgmq._compiled(text, text) IS
'The name of the compiled function of an operation for this queue; undefined_table if there is none.

Null for an operation that only some queues have, if this one does not have it.';
