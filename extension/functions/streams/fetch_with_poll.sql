CREATE OR REPLACE FUNCTION pgmq.fetch_with_poll(
    stream_name text,
    group_name text,
    vt integer,
    qty integer,
    max_poll_seconds integer DEFAULT 5,
    poll_interval_ms integer DEFAULT 100
)
RETURNS SETOF pgmq.stream_record
LANGUAGE plpgsql VOLATILE ROWS 100
AS $$
DECLARE
    v_deadline CONSTANT timestamptz := clock_timestamp()
        + pg_catalog.make_interval(secs => coalesce(max_poll_seconds, 5));
    v_pause CONSTANT double precision := greatest(
        coalesce(poll_interval_ms, 100), 1
    )::double precision / '1000';
    v_left double precision;
BEGIN
    LOOP
        RETURN QUERY SELECT * FROM pgmq.fetch(stream_name, group_name, vt, qty);
        IF FOUND THEN
            RETURN;
        END IF;
        v_left := extract(epoch FROM v_deadline - clock_timestamp());
        EXIT WHEN v_left <= '0';
        PERFORM pg_sleep(least(v_pause, v_left));
        PERFORM pg_relation_size('pgmq.paused'::regclass);      -- see _poll
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq.fetch_with_poll(text, text, integer, integer, integer, integer) IS
'Like fetch, but if there is nothing, look again until there is, or the time is up.

It looks every poll_interval_ms (null: 100) for up to max_poll_seconds (null: 5), once at least. The
transaction stays open meanwhile. With await a consumer is woken earlier, and keeps none open.';
