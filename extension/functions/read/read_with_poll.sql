CREATE OR REPLACE FUNCTION pgmq.read_with_poll(
    queue_name text,
    vt integer,
    qty integer,
    max_poll_seconds integer DEFAULT 5,
    poll_interval_ms integer DEFAULT 100,
    conditional jsonb DEFAULT '{}'
)
RETURNS SETOF pgmq.message_record
LANGUAGE plpgsql VOLATILE ROWS 10
AS $$
DECLARE
    v_deadline timestamptz := coalesce(
        clock_timestamp() + make_interval(secs => max_poll_seconds), 'infinity'
    );
    v_pause double precision := greatest(coalesce(poll_interval_ms, 100), 1) / 1000.0;
    v_left double precision;
BEGIN
    LOOP
        RETURN QUERY SELECT * FROM pgmq.read(queue_name, vt, qty, conditional);
        IF FOUND THEN
            RETURN;
        END IF;
        v_left := CASE
            WHEN v_deadline < 'infinity' THEN extract(epoch FROM v_deadline - clock_timestamp())
            ELSE v_pause
        END;
        EXIT WHEN v_left <= 0;
        PERFORM pg_sleep(least(v_pause, v_left));
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq.read_with_poll(text, integer, integer, integer, integer, jsonb) IS
'Like read, but when nothing is visible look again every poll_interval_ms milliseconds (100 when null, at least 1) until max_poll_seconds have passed (null: for ever). Looks at least once. The calling transaction stays open meanwhile; under REPEATABLE READ it sees no message that is committed later.';
