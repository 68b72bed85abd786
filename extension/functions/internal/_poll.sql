CREATE OR REPLACE FUNCTION pgmq._poll(
    statement text,
    queue_name text,
    vt integer,
    qty integer,
    condition jsonb,
    max_poll_seconds integer,
    poll_interval_ms integer
)
RETURNS SETOF pgmq.message_record
LANGUAGE plpgsql VOLATILE ROWS 10
AS $$
DECLARE
    -- Null means the default, too: waiting for ever would hold the table's lock for ever.
    v_deadline timestamptz := clock_timestamp()
        + pg_catalog.make_interval(secs => coalesce(max_poll_seconds, 5));
    v_pause double precision := greatest(
        coalesce(poll_interval_ms, 100), 1
    )::double precision / '1000';
    v_left double precision;
BEGIN
    LOOP
        RETURN QUERY EXECUTE statement USING queue_name, vt, qty, condition;
        IF FOUND THEN
            RETURN;
        END IF;
        v_left := extract(epoch FROM v_deadline - clock_timestamp());
        EXIT WHEN v_left <= '0';
        PERFORM pg_sleep(least(v_pause, v_left));
        -- To lock a relation anew lets this session notice that the queue was compiled anew: it may
        -- have been paused, or resumed.
        PERFORM pg_relation_size('pgmq.paused'::regclass);
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._poll(text, text, integer, integer, jsonb, integer, integer) IS
'Run a statement that reads until it returns something or the time is up.

$1 to $4 are the queue''s name, vt, qty and condition.';
