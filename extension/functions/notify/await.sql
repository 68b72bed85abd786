CREATE OR REPLACE FUNCTION pgmq.await(queue_name text, seconds integer DEFAULT 5)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_function CONSTANT text := pgmq._compiled('arm', queue_name);
    v_until timestamptz;
BEGIN
    IF seconds IS NULL OR seconds NOT BETWEEN 1 AND 3600 THEN
        RAISE EXCEPTION 'seconds must be between 1 and 3600: %', coalesce(seconds::text, 'null')
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'It is for how long the queue is announced, and the longest time to wait.';
    END IF;
    IF v_function IS NULL OR pgmq._relation('armed_until', queue_name) IS NULL THEN
        RAISE EXCEPTION 'queue "%" does not wake consumers', queue_name
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = pg_catalog.format(
                    'Its owner can call SELECT pgmq.enable_wakeups(%L).', queue_name
                );
    END IF;
    EXECUTE pg_catalog.format(
        'LISTEN %I',
        pg_catalog.format('pgmq.%s.READY', pgmq.format_table_name(queue_name, 'q'))
    );
    EXECUTE pg_catalog.format('SELECT pgmq.%I($1)', v_function) INTO v_until USING seconds;
    RETURN v_until;
END
$$;
COMMENT ON FUNCTION pgmq.await(text, integer) IS
'For a consumer that found a queue empty: LISTEN, and return when to look again at the latest.

The session listens to the channel pgmq.q_<queue>.READY from now on, and commits announce new
messages there for so many seconds (1 to 3600). The result is the time when the next message falls
due (of a stream: when the lease of a lane ends) and a rate_limit lets it through, when a schedule
has one to send, or when the seconds are over. It is a tenth of a second from now while other
transactions have not committed what they did with the queue, or hold visible messages.

After this call commit, look once more, and only then wait for a notification or that time. Raises
an error unless enable_wakeups was called.';
