CREATE OR REPLACE FUNCTION pgmq._refuse_stream(queue_name text)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pgmq._is_stream(pgmq._queue_table(queue_name)) THEN
        RAISE EXCEPTION 'stream "%" is read by groups', queue_name
            USING ERRCODE = 'feature_not_supported',
                HINT = format(
                    'Its messages are not leased one by one: call SELECT * FROM'
                    ' pgmq.fetch(%L, <group>, <vt>, <qty>), and commit().', queue_name
                );
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._refuse_stream(text) IS
'Raise the error of what leases or moves single messages, if a queue is a stream.';
