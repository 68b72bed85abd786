CREATE OR REPLACE FUNCTION pgmq.create_fifo_indexes_all()
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_queue_name text;
BEGIN
    FOR v_queue_name IN
        SELECT m.queue_name FROM pgmq.meta AS m
        WHERE NOT pgmq._is_stream(pgmq._queue_table(m.queue_name))
        ORDER BY m.queue_name
    LOOP
        PERFORM pgmq.create_fifo_index(v_queue_name);
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq.create_fifo_indexes_all() IS
'Call create_fifo_index for every queue but streams.';
