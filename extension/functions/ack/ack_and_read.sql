CREATE OR REPLACE FUNCTION pgmq.ack_and_read(
    queue_name text,
    vt integer,
    qty integer,
    msg_ids bigint[],
    read_cts integer[]
)
RETURNS SETOF pgmq.message_record
LANGUAGE plpgsql VOLATILE ROWS 10
AS $$
BEGIN
    RETURN QUERY EXECUTE pg_catalog.format(
        'SELECT * FROM pgmq.%I($1, $2, $3, $4)', pgmq._compiled('ackread', queue_name)
    ) USING vt, coalesce(qty, 2147483647), msg_ids, read_cts;
END
$$;
COMMENT ON FUNCTION pgmq.ack_and_read(text, integer, integer, bigint[], integer[]) IS
'Acknowledge the last batch and lease the next, in one statement and one commit.

Null or empty arrays acknowledge nothing; vt and qty as in read. A stale lease is passed over without a word: where that matters, call ack and read.';
