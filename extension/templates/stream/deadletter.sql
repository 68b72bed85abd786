--# for stream
-- Copy a message that a group has passed over to the group's dead-letter queue.
--
-- SECURITY DEFINER: the owner of the stream, not its readers, writes there. So the caller must have
-- moved the group past the message in this transaction, which takes the right to read as the group.
CREATE OR REPLACE FUNCTION pgmq._deadletter_$queue(
    reader text,
    number integer,
    id bigint,
    deliveries integer,
    error text
)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_state record;
    v_message record;
    v_queue text;
BEGIN
    SELECT l.done, l.xmin AS changed_by INTO v_state
    FROM pgmq.lane_$queue AS l
    WHERE l.group_name = reader AND l.lane = number
    ORDER BY l.group_name DESC, l.lane DESC, l.version DESC
    LIMIT 1;
    SELECT m.enqueued_at, m.message, m.headers INTO v_message
    FROM pgmq.q_$queue AS m
    WHERE m.msg_id = id;
    IF NOT FOUND OR NOT v_state.done >= id OR NOT pgmq._is_own(v_state.changed_by) THEN
        RETURN;
    END IF;
    -- Not by send(): the headers may have a key by which the queue would take it for a duplicate.
    SELECT g.dead_letter_queue INTO v_queue
    FROM pgmq._groups_of(queue_name$policy) AS g
    WHERE g.group_name = reader;
    EXECUTE format(
        'INSERT INTO pgmq.%I (vt, message, headers) VALUES (now(), $1, $2)',
        pgmq.format_table_name(v_queue, 'q')
    ) USING v_message.message, pgmq._group_dead_letter(
        v_message.headers, queue_name$policy, id, deliveries, v_message.enqueued_at, reader, error
    );
END
$$;
