-- Store one message, visible from visible_at on; a time that is past, -infinity too, means at once.
CREATE OR REPLACE FUNCTION pgmq._enqueue_$queue(
    msg jsonb,
    msg_headers jsonb,
    visible_at timestamptz
)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_msg_id bigint;
BEGIN
    ASSERT pgmq._may('INSERT', queue_name$policy, 'pgmq.q_$queue');
    --# if dedup_window
    IF msg_headers ->> 'x-pgmq-dedup-id'::text IS NOT NULL THEN
        RETURN (
            SELECT s.msg_id
            FROM pgmq._sendonce_$queue(msg, msg_headers, visible_at, false) AS s
        );
    END IF;
    --# end
    IF visible_at IS NULL THEN
        PERFORM pgmq._raise_null('delay', 'Give seconds or a time, or leave delay out.');
    END IF;
    -- Equal times make the message ready. The clock is read under the table's lock: a parked
    -- message must not get a vt that the parked mark may have passed.
    INSERT INTO pgmq.q_$queue (enqueued_at, vt, message, headers)
    VALUES (
        now(),
        CASE WHEN visible_at > clock_timestamp() THEN visible_at ELSE now() END,
        msg,
        msg_headers
    )
    RETURNING msg_id INTO v_msg_id;
    --# if partitioned
    IF pgmq._chance(1, 256) THEN
        PERFORM pgmq._tend_$queue();
    END IF;
    --# end
    RETURN v_msg_id;
END
$$;
