--# for dedup
-- Store one message unless one with the same key (header x-pgmq-dedup-id) was sent within
-- dedup_window. Return the id of the one that counts, and whether it is new. (The settings are also
-- for the functions that this calls.) Without a window, the message is new, or the call fails if
-- the caller needs a window.
CREATE OR REPLACE FUNCTION pgmq._sendonce_$queue(
    msg jsonb,
    msg_headers jsonb,
    visible_at timestamptz,
    needs_window boolean,
    OUT msg_id bigint,
    OUT is_new boolean
)
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
DECLARE
    v_stored bigint;
BEGIN
    ASSERT pgmq._may('INSERT', queue_name$policy, 'pgmq.q_$queue');
    --# if paused_sends
    PERFORM pgmq._raise_paused(queue_name$policy);
    --# end
    --# unless pending
    IF needs_window AND dedup_window$policy IS NULL THEN
        PERFORM pgmq._raise_no_window(queue_name$policy);
    END IF;
    --# end
    IF visible_at IS NULL THEN
        PERFORM pgmq._raise_null('delay', 'Give seconds or a time, or leave delay out.');
    END IF;
    --# if stream
    IF visible_at > clock_timestamp() THEN
        PERFORM pgmq._refuse_delay(queue_name$policy);
    END IF;
    --# end
    -- drop_queue() locks this table first, too. And a role that may not send fails at once.
    LOCK TABLE pgmq.q_$queue IN ROW EXCLUSIVE MODE;
    msg_id := (pgmq._recall_$queue(ARRAY[msg_headers ->> 'x-pgmq-dedup-id'::text]))[1];
    is_new := msg_id IS NULL;
    IF is_new THEN
        INSERT INTO pgmq.q_$queue AS q (
            enqueued_at,
            --# if leases
            vt,
            --# end
            message, headers
        )
        VALUES (
            now(),
            --# if leases
            pgmq._visible_from(visible_at),
            --# end
            msg, msg_headers
        )
        RETURNING q.msg_id INTO v_stored;
        -- Another sender may still be first.
        msg_id := (pgmq._remember_$queue(ARRAY[v_stored]))[1];
        is_new := msg_id IS NOT DISTINCT FROM v_stored;
        IF pgmq._chance(1, 32) THEN
            PERFORM pgmq._upkeep(queue_name$policy, 1);
        END IF;
    END IF;
    --# if schedules
    IF pgmq._is_tick_due('pgmq.tick_due_$queue') THEN
        PERFORM pgmq._fire(queue_name$policy);
    END IF;
    --# end
END
$$;
