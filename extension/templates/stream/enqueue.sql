--# for stream
-- Append one message and return its id.
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
    --# if dedup_window
    IF msg_headers ->> 'x-pgmq-dedup-id'::text IS NOT NULL THEN
        SELECT s.msg_id INTO msg_id
        FROM pgmq._sendonce_$queue(msg, msg_headers, visible_at, false) AS s;
        RETURN;
    END IF;
    --# end
    IF visible_at > clock_timestamp() THEN
        PERFORM pgmq._refuse_delay(queue_name$policy);
    END IF;
    INSERT INTO pgmq.q_$queue AS q (enqueued_at, message, headers)
    VALUES (
        CASE WHEN pgmq._may('INSERT', queue_name$policy, 'pgmq.q_$queue') THEN now() END,
        msg,
        msg_headers
    )
    RETURNING q.msg_id INTO msg_id;
    IF pgmq._chance(1, 64) THEN
        PERFORM pgmq._tend_$queue();
    END IF;
    --# if schedules
    IF pgmq._is_tick_due('pgmq.tick_due_$queue') THEN
        PERFORM pgmq._fire(queue_name$policy);
    END IF;
    --# end
END
$$;
