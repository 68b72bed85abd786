CREATE OR REPLACE FUNCTION pgmq.get(queue_name text, msg_id bigint)
RETURNS SETOF pgmq.message_record
LANGUAGE plpgsql VOLATILE ROWS 1
AS $$
BEGIN
    PERFORM pgmq._compiled('enqueue', queue_name);     -- an unknown queue is an error
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot(
            pg_catalog.format('pgmq.%I', pgmq.format_table_name(queue_name, 'q'))::regclass
        );
    END IF;
    RETURN QUERY EXECUTE pg_catalog.format(
        'SELECT %s FROM pgmq.%I AS m WHERE m.msg_id = $1',
        pgmq._message_columns(queue_name), pgmq.format_table_name(queue_name, 'q')
    ) USING msg_id;
END
$$;
COMMENT ON FUNCTION pgmq.get(text, bigint) IS
'Return one message as it lies in the queue, visible or not, without leasing or locking it.

Returns no row when the message is not there. Of a stream, read_ct is 0.';
