CREATE OR REPLACE FUNCTION pgmq.reject(
    stream_name text,
    group_name text,
    lane integer,
    epoch bigint,
    msg_id bigint,
    error text DEFAULT null
)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_group pgmq.stream_group;
    v_lease record;
    v_failed bigint[];
    v_changes jsonb;
BEGIN
    IF msg_id IS NULL THEN
        PERFORM pgmq._raise_null('msg_id', 'Give the message that cannot be processed.');
    END IF;
    v_lease := pgmq._lock_lease(stream_name, group_name, lane, epoch);
    v_group := pgmq._existing_group(stream_name, group_name);
    IF v_group.dead_letter_queue IS NULL THEN
        RAISE EXCEPTION 'group "%" of stream "%" has no dead_letter_queue', group_name, stream_name
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = format(
                    'The stream''s owner can SELECT pgmq.alter_group(%L, %L, dead_letter_queue => ...).',
                    stream_name, group_name
                );
    END IF;
    IF v_lease.version IS NULL THEN
        RETURN false;
    END IF;
    IF NOT (msg_id > v_lease.done AND msg_id <= v_lease.leased)
        OR NOT pgmq._is_in_lane(v_group.queue_name, msg_id, lane, v_group.lanes)
    THEN
        PERFORM pgmq._raise_not_leased(group_name, lane, msg_id);
    END IF;
    v_failed := pgmq._still_failed(v_lease.failed, msg_id);
    v_changes := jsonb_build_object('done', msg_id, 'failed', v_failed);
    IF msg_id = v_lease.leased THEN
        v_changes := v_changes || jsonb_build_object('vt', '-infinity'::timestamptz, 'pid', null);
    END IF;
    IF v_failed = '{}' THEN
        v_changes := v_changes || jsonb_build_object('error', null);
    END IF;
    PERFORM pgmq._change_lane(v_group.queue_name, group_name, lane, v_lease.version, v_changes);
    EXECUTE format(
        'SELECT pgmq.%I($1, $2, $3, $4, $5)', pgmq._compiled('deadletter', stream_name)
    ) USING group_name, lane, msg_id, cardinality(v_lease.failed) + 1, error;
    RETURN true;
END
$$;
COMMENT ON FUNCTION pgmq.reject(text, text, integer, bigint, bigint, text) IS
'Copy a message to the group''s dead-letter queue, and go on after it; false if the lease is lost.

What comes before it in the batch is committed with it, and the lease of the rest goes on. After the
last message of the batch the lease ends. The copy has the header x-pgmq-dead-letter, which names
the stream, the group and the error. The message itself stays in the stream.

It needs no max_deliveries, and no right to the dead-letter queue. It is false, too, while another
transaction has the lane: see commit. Raises an error
if the group has no dead-letter queue, or the message is not in the batch.';

CREATE OR REPLACE FUNCTION pgmq._is_in_lane(
    queue_name text,
    msg_id bigint,
    lane integer,
    lanes integer
)
RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_lane integer;
BEGIN
    EXECUTE format(
        'SELECT pgmq._lane_of(m.key_hash, m.msg_id, $2) FROM pgmq.%I AS m WHERE m.msg_id = $1',
        pgmq.format_table_name(queue_name, 'q')
    ) INTO v_lane USING msg_id, lanes;
    RETURN v_lane = lane IS true;
END
$$;
COMMENT ON FUNCTION pgmq._is_in_lane(text, bigint, integer, integer) IS
'Whether there is such a message in the stream, and it belongs to this lane of so many.';
