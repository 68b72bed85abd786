CREATE OR REPLACE FUNCTION pgmq.create_non_partitioned(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM pgmq._create(queue_name, unlogged => false);
END
$$;
COMMENT ON FUNCTION pgmq.create_non_partitioned(text) IS
'The same as create.';
