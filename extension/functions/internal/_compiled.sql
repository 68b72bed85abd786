CREATE OR REPLACE FUNCTION pgmq._compiled(operation text, queue_name text)
RETURNS text
LANGUAGE sql VOLATILE
AS $$
    -- Inlined into every dispatcher, so it must stay one expression.
    SELECT CASE
        WHEN to_regproc('pgmq.' || quote_ident(pgmq._function_name(operation, queue_name))) IS NULL
            THEN pgmq._missing(operation, queue_name)
        ELSE pgmq._function_name(operation, queue_name)
    END
$$;
COMMENT ON FUNCTION pgmq._compiled(text, text) IS
'The name of the function that an operation was compiled into for this queue; raises undefined_table for an unknown queue.';
