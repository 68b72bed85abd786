--# for dedup
-- Return for each of these messages, which this transaction has just stored, the message that
-- counts as sent with its key. If that is the message itself, it takes the key. If another was
-- committed meanwhile, the message is removed again. Later senders of the key wait for the end of
-- this transaction, and see what became of it. Keys are taken in sorted order: otherwise two
-- batches could wait for each other.
--
-- SECURITY DEFINER: producers have no right to the table. A call by hand can take no key that the
-- caller has not sent: the keys come from the messages, which must be the caller's own.
CREATE OR REPLACE FUNCTION pgmq._remember_$queue(msg_ids bigint[])
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_message record;
    v_own xid := pg_current_xact_id()::xid;
    v_counts bigint;
    --# if pending
    v_enqueued_at timestamptz;
    v_is_recent boolean;
    --# end
BEGIN
    --# unless pending
    IF dedup_window$policy IS NULL THEN     -- it was switched off
        RETURN msg_ids;
    END IF;
    --# end
    FOR v_message IN
        SELECT
            q.msg_id, q.xmin AS stored_by,
            (q.headers ->> 'x-pgmq-dedup-id') COLLATE "C" AS dedup_key
            --# if pending
            , q.enqueued_at
            --# end
        FROM pgmq.q_$queue AS q
        WHERE lookup$partitions(q) AND q.msg_id = ANY (msg_ids)
            AND q.headers ->> 'x-pgmq-dedup-id' IS NOT NULL
        ORDER BY 3
    LOOP
        -- One statement has stored all of them. It may have run in a subtransaction.
        IF v_message.stored_by <> v_own THEN
            CONTINUE WHEN NOT pgmq._is_own(v_message.stored_by);
            v_own := v_message.stored_by;
        END IF;
        -- Look again after each attempt: the row that was in the way may be gone.
        LOOP
            v_counts := v_message.msg_id;
            --# if pending
            INSERT INTO pgmq.dedup_$queue (dedup_key, msg_id, sent_at, enqueued_at)
            VALUES (
                v_message.dedup_key, v_message.msg_id, clock_timestamp(), v_message.enqueued_at
            )
            ON CONFLICT DO NOTHING;
            EXIT WHEN FOUND;
            SELECT d.msg_id, d.enqueued_at, d.sent_at > clock_timestamp() - dedup_window$policy
            INTO v_counts, v_enqueued_at, v_is_recent
            FROM pgmq.dedup_$queue AS d
            WHERE d.dedup_key = v_message.dedup_key;
            CONTINUE WHEN NOT FOUND;
            EXIT WHEN v_is_recent
                OR (pgmq._pending_$queue(ARRAY[v_counts], ARRAY[v_enqueued_at]))[1] IS NOT NULL;
            -- That message is gone for good. Another sender may have the key in its place by now.
            UPDATE pgmq.dedup_$queue AS d
            SET msg_id = v_message.msg_id,
                sent_at = clock_timestamp(),
                enqueued_at = v_message.enqueued_at
            WHERE d.dedup_key = v_message.dedup_key AND d.msg_id IS NOT DISTINCT FROM v_counts;
            v_counts := v_message.msg_id;
            EXIT WHEN FOUND;
            --# else
            INSERT INTO pgmq.dedup_$queue (dedup_key, msg_id, sent_at)
            VALUES (v_message.dedup_key, v_message.msg_id, clock_timestamp())
            ON CONFLICT DO NOTHING;
            EXIT WHEN FOUND;
            UPDATE pgmq.dedup_$queue AS d
            SET msg_id = v_message.msg_id, sent_at = clock_timestamp()
            WHERE d.dedup_key = v_message.dedup_key
                AND (d.msg_id IS NULL OR d.sent_at <= clock_timestamp() - dedup_window$policy);
            EXIT WHEN FOUND;
            SELECT d.msg_id INTO v_counts
            FROM pgmq.dedup_$queue AS d
            WHERE d.dedup_key = v_message.dedup_key;
            EXIT WHEN FOUND AND v_counts IS NOT NULL;
            --# end
        END LOOP;
        IF v_counts <> v_message.msg_id THEN
            DELETE FROM pgmq.q_$queue AS m
            WHERE lookup$partitions(m) AND m.msg_id = v_message.msg_id;
            msg_ids := array_replace(msg_ids, v_message.msg_id, v_counts);
        END IF;
    END LOOP;
    RETURN msg_ids;
END
$$;
