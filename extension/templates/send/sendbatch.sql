--# for leases
-- Store the messages of an array, and return their ids in its order.
CREATE OR REPLACE FUNCTION pgmq._sendbatch_$queue(
    msgs jsonb[],
    msg_headers jsonb[],
    visible_at timestamptz
)
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 100
AS $$
BEGIN
    --# if paused_sends
    PERFORM pgmq._raise_paused(queue_name$policy);
    --# end
    --# if dedup
    IF EXISTS (
        SELECT FROM pg_catalog.unnest(msg_headers) AS u (header)
        WHERE u.header ->> 'x-pgmq-dedup-id'::text IS NOT NULL
    )
    THEN
        RETURN QUERY
            SELECT s.msg_id
            FROM pgmq._sendoncebatch_$queue(msgs, msg_headers, visible_at, false) AS s;
        RETURN;
    END IF;
    --# end
    RETURN QUERY
        INSERT INTO pgmq.q_$queue (enqueued_at, vt, message, headers)
        SELECT now(), pgmq._visible_from(visible_at), u.msg, u.msg_header
        FROM unnest(msgs, msg_headers) AS u (msg, msg_header)
        WHERE pgmq._may('INSERT', queue_name$policy, 'pgmq.q_$queue')
        RETURNING msg_id;
    --# if partitioned
    IF pgmq._chance(pg_catalog.cardinality(msgs), 256) THEN
        PERFORM pgmq._tend_$queue();
    END IF;
    --# end
    --# if schedules
    IF pgmq._is_tick_due('pgmq.tick_due_$queue') THEN
        PERFORM pgmq._fire(queue_name$policy);
    END IF;
    --# end
END
$$;
