CREATE OR REPLACE FUNCTION pgmq.read(
    queue_name text,
    vt integer,
    qty integer,
    conditional jsonb DEFAULT '{}'
)
RETURNS SETOF pgmq.message_record
LANGUAGE plpgsql VOLATILE ROWS 10
AS $$
DECLARE
    v_ids bigint[];
BEGIN
    IF vt IS NULL OR qty < 0 THEN
        PERFORM pgmq._check_read(vt, qty);
    END IF;
    IF pgmq._chance(qty, 32) THEN
        PERFORM pgmq._look_after(queue_name, qty);
    END IF;
    IF conditional IS NULL OR conditional = '{}' THEN
        RETURN QUERY EXECUTE pg_catalog.format(
            'SELECT * FROM pgmq.%I($1, $2, $3)', pgmq._compiled('read', queue_name)
        ) USING vt, coalesce(qty, 2147483647), null::pgmq.message_record;
        IF FOUND THEN
            RETURN;
        END IF;
    END IF;
    v_ids := pgmq._choose(queue_name, coalesce(qty, 2147483647), nullif(conditional, '{}'));
    IF pg_catalog.cardinality(v_ids) <> 0 THEN
        RETURN QUERY EXECUTE pg_catalog.format(
            'SELECT * FROM pgmq.%I($1, $2, true, $3)', pgmq._compiled('park', queue_name)
        ) USING
            v_ids, clock_timestamp() + pg_catalog.make_interval(secs => vt),
            null::pgmq.message_record;
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq.read(text, integer, integer, jsonb) IS
'Lease up to qty visible messages, smallest msg_id first, in msg_id order.

Each is hidden for vt seconds from now and its read_ct goes up by one. Null qty means no limit; vt of zero or less leaves them visible. With conditional, only messages that contain that JSON (operator @>) are taken, and finding them takes a search. Never waits for a message that another transaction holds.';
