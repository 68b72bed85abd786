--# for wakeups
-- Wake the consumers that have armed the queue (see arm), if any: a message has arrived, or one
-- becomes visible earlier than it would have.
CREATE OR REPLACE FUNCTION pgmq._wake_$queue()
RETURNS trigger
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    IF pgmq._microseconds(clock_timestamp())
        < coalesce(pg_catalog.pg_sequence_last_value('pgmq.armed_until_$queue'), 0)
    THEN
        PERFORM pg_notify(pg_catalog.format('pgmq.q_%s.READY', lower(queue_name$policy)), '');
    END IF;
    RETURN null;
END
$$;
