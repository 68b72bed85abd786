--# for dedup
-- Return for each key the message that was sent with it within dedup_window, or null: only messages
-- that are committed, or of this transaction, count. With the dedup_scope pending, one that is in
-- the queue counts, too. Nothing is locked: duplicates wait neither for each other nor for upkeep.
--
-- SECURITY DEFINER: producers have no right to the table, since they could read all keys in it.
CREATE OR REPLACE FUNCTION pgmq._recall_$queue(keys text[])
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_key text;
    v_msg_id bigint;
    v_msg_ids bigint[] := '{}'::bigint[];
    --# if pending
    v_enqueued_at timestamptz;
    v_times timestamptz[] := '{}'::timestamptz[];
    v_is_recent boolean;
    v_recent bigint[] := '{}'::bigint[];
    --# end
BEGIN
    --# unless pending
    IF dedup_window$policy IS NULL THEN     -- it was switched off
        RETURN array_fill(null::bigint, ARRAY[cardinality(keys)]);
    END IF;
    --# end
    FOREACH v_key IN ARRAY keys LOOP
        IF octet_length(v_key) > 1024 THEN
            RAISE EXCEPTION 'dedup key "%..." must have up to 1024 bytes, not %',
                left(v_key, 40), octet_length(v_key)
                USING ERRCODE = 'string_data_right_truncation', HINT = 'Send a hash of it instead.';
        END IF;
        v_msg_id := null;
        --# if pending
        SELECT d.msg_id, d.enqueued_at, d.sent_at > clock_timestamp() - dedup_window$policy
        INTO v_msg_id, v_enqueued_at, v_is_recent
        FROM pgmq.dedup_$queue AS d
        WHERE d.dedup_key = v_key;
        v_times := v_times || v_enqueued_at;
        v_recent := v_recent || CASE WHEN v_is_recent THEN v_msg_id END;
        --# else
        SELECT d.msg_id INTO v_msg_id
        FROM pgmq.dedup_$queue AS d
        WHERE d.dedup_key = v_key AND d.sent_at > clock_timestamp() - dedup_window$policy;
        --# end
        v_msg_ids := v_msg_ids || v_msg_id;
    END LOOP;
    --# if pending
    RETURN ARRAY(
        SELECT coalesce(u.recent, u.pending)
        FROM unnest(v_recent, pgmq._pending_$queue(v_msg_ids, v_times))
            WITH ORDINALITY AS u (recent, pending, place)
        ORDER BY u.place
    );
    --# else
    RETURN v_msg_ids;
    --# end
END
$$;
