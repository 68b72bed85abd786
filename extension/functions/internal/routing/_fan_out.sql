CREATE OR REPLACE FUNCTION pgmq._fan_out(
    queue_names text[],
    msg jsonb,
    headers jsonb,
    delay integer
)
RETURNS integer
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    IF delay IS NULL THEN
        PERFORM pgmq._raise_null('delay', 'Give seconds or a time, or leave delay out.');
    END IF;
    IF pg_catalog.cardinality(queue_names) = 0 THEN
        RETURN 0;
    END IF;
    IF pgmq._can_be_used() THEN
        PERFORM pgmq._check_routes(queue_names);
    END IF;
    -- One statement for all copies: parsing the call is most of the cost of a copy.
    EXECUTE (
        SELECT pg_catalog.format(
            'SELECT ARRAY[%s]',
            pg_catalog.string_agg(
                pg_catalog.format('pgmq.%I($1, $2, $3)', pgmq._compiled('enqueue', u.queue_name)), ', '
                ORDER BY u.place
            )
        )
        FROM pg_catalog.unnest(queue_names) WITH ORDINALITY AS u (queue_name, place)
    ) USING msg, headers, clock_timestamp() + pg_catalog.make_interval(secs => delay);
    RETURN pg_catalog.cardinality(queue_names);
END
$$;
COMMENT ON FUNCTION pgmq._fan_out(text[], jsonb, jsonb, integer) IS
'Send a message to each of several queues, and return the number of queues.';
