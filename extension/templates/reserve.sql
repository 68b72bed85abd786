-- Of each key, given in order and once: the message that was sent with it within dedup_window, or
-- null where there is none. Such a key is reserved for this transaction, which must send a message
-- and have it remembered. Others with the key wait for its end, and find out what became of it.
--
-- Nothing of a known key is locked: duplicates do not wait for each other. Looking comes again
-- after each attempt, since what stood in its way may be gone: another sender may roll back, and
-- a key that is no longer of use may be deleted at any time.
--
-- SECURITY DEFINER: producers have no right to the table, or they could reserve what they never
-- send, or read all keys. Whoever calls this by hand reserves nothing beyond the transaction: a
-- reservation without a message counts for nothing.
CREATE OR REPLACE FUNCTION pgmq._reserve_$queue(keys text[])
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    --# if dedup_window
    v_key text;
    v_msg_id bigint;
    v_sent_at timestamptz;
    --# end
    v_msg_ids bigint[] := '{}'::bigint[];
BEGIN
    --# unless dedup_window
    v_msg_ids := array_fill(null::bigint, ARRAY[cardinality(keys)]);
    --# end
    --# if dedup_window
    FOREACH v_key IN ARRAY keys LOOP
        IF octet_length(v_key) > 1024 THEN
            RAISE EXCEPTION 'dedup key "%..." must have up to 1024 bytes, not %',
                left(v_key, 40), octet_length(v_key)
                USING ERRCODE = 'string_data_right_truncation', HINT = 'Send a hash of it instead.';
        END IF;
        LOOP
            v_msg_id := null;
            SELECT d.msg_id, d.sent_at INTO v_msg_id, v_sent_at
            FROM pgmq.dedup_$queue AS d
            WHERE d.dedup_key = v_key;
            IF NOT FOUND THEN
                INSERT INTO pgmq.dedup_$queue (dedup_key, sent_at)
                VALUES (v_key, clock_timestamp())
                ON CONFLICT DO NOTHING;
            ELSIF v_msg_id IS NULL OR v_sent_at <= clock_timestamp() - dedup_window$policy THEN
                v_msg_id := null;
                UPDATE pgmq.dedup_$queue AS d
                SET msg_id = null, sent_at = clock_timestamp()
                WHERE d.dedup_key = v_key
                    AND (d.msg_id IS NULL OR d.sent_at <= clock_timestamp() - dedup_window$policy);
            END IF;
            EXIT WHEN FOUND;
        END LOOP;
        v_msg_ids := v_msg_ids || v_msg_id;
    END LOOP;
    --# end
    RETURN v_msg_ids;
END
$$;
