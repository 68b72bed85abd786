CREATE OR REPLACE FUNCTION pgmq."create"(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM pgmq._create(queue_name, unlogged => false);
END
$$;
COMMENT ON FUNCTION pgmq."create"(text) IS
'Create a queue.

Does nothing but a notice when it is there. Names are not case-sensitive; up to 47 characters, without $ ; -- or a single quote.';
