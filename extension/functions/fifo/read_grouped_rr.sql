CREATE OR REPLACE FUNCTION pgmq.read_grouped_rr(queue_name text, vt integer, qty integer)
RETURNS SETOF pgmq.message_record
LANGUAGE plpgsql VOLATILE ROWS 10
AS $$
BEGIN
    RETURN QUERY SELECT * FROM pgmq._fifo_read(
        queue_name, vt, coalesce(qty, 2147483647), 'rr', null
    );
END
$$;
COMMENT ON FUNCTION pgmq.read_grouped_rr(text, integer, integer) IS
'Like read_grouped, but in turns: the first message of every free group, then the second ones.

Up to qty messages come in that order. In each turn the group with the oldest message comes first.';
