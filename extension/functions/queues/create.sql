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

If the queue exists, this only raises a notice. A name has up to 47 characters, without $ ; -- or a
single quote. Case does not matter.';
