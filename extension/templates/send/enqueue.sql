--# for leases
-- Store one message, visible from visible_at on, and return its id. A time that is past, -infinity
-- too, means at once. The clock is read under the table's lock: a parked message must not get a vt
-- that the parked mark may have passed.
CREATE OR REPLACE FUNCTION pgmq._enqueue_$queue(
    msg jsonb,
    msg_headers jsonb,
    visible_at timestamptz,
    OUT msg_id bigint
)
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    --# if paused_sends
    PERFORM pgmq._raise_paused(queue_name$policy);
    --# end
    --# if dedup
    IF msg_headers ->> 'x-pgmq-dedup-id'::text IS NOT NULL THEN
        SELECT s.msg_id INTO msg_id
        FROM pgmq._sendonce_$queue(msg, msg_headers, visible_at, false) AS s;
        RETURN;
    END IF;
    --# end
    INSERT INTO pgmq.q_$queue AS q (enqueued_at, vt, message, headers)
    VALUES (
        CASE WHEN pgmq._may('INSERT', queue_name$policy, 'pgmq.q_$queue') THEN now() END,
        pgmq._visible_from(visible_at),
        msg,
        msg_headers
    )
    RETURNING q.msg_id INTO msg_id;
    --# if partitioned
    IF pgmq._chance(1, 256) THEN
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
