CREATE OR REPLACE FUNCTION pgmq.read_grouped_head(queue_name text, vt integer, qty integer)
RETURNS SETOF pgmq.message_record
LANGUAGE plpgsql VOLATILE ROWS 10
AS $$
BEGIN
    RETURN QUERY EXECUTE pg_catalog.format(
        'SELECT * FROM pgmq.%I($1, $2, %L, null)', pgmq._compiled('grouped', queue_name), 'head'
    ) USING vt, coalesce(qty, 2147483647);
END
$$;
COMMENT ON FUNCTION pgmq.read_grouped_head(text, integer, integer) IS
'Like read_grouped, but only the first message of each free group, of up to qty groups.';
