CREATE OR REPLACE FUNCTION pgmq.read_grouped_head(queue_name text, vt integer, qty integer)
RETURNS SETOF pgmq.message_record
LANGUAGE plpgsql VOLATILE ROWS 10
AS $$
BEGIN
    RETURN QUERY SELECT * FROM pgmq._fifo_read(
        queue_name, vt, coalesce(qty, 2147483647), 'head', null
    );
END
$$;
COMMENT ON FUNCTION pgmq.read_grouped_head(text, integer, integer) IS
'Like read_grouped, but lease only the first message of each free group, of up to qty groups.';
