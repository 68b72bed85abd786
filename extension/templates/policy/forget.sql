--# for archive_retention or dedup
-- Remove archived messages and deduplication keys that the policy no longer keeps, the oldest
-- first, up to so many of each, and return how many were removed. Of keys that are taken while a
-- message is pending, some pages of the table are looked at, in a random place. A null quantity
-- means all. (SECURITY DEFINER: a consumer may have no right to the archive. Callers that may not
-- use the queue get nothing done: until they commit, they would hold keys that senders wait for.)
CREATE OR REPLACE FUNCTION pgmq._forget_$queue(quantity integer)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_now CONSTANT timestamptz := clock_timestamp();
    v_count bigint;
    v_sum bigint := 0;
    --# if pending
    v_pages CONSTANT bigint := pg_relation_size('pgmq.dedup_$queue')
        / current_setting('block_size')::integer;
    v_page bigint := CASE WHEN quantity IS NULL THEN 0 ELSE floor(random() * v_pages) END;
    v_end CONSTANT bigint := coalesce(v_page + quantity / 50 + 1, v_pages);
    v_until CONSTANT timestamptz := v_now - greatest(
        dedup_window$policy,
        -- A key that was used just now is likely to come again. Its sender would wait for the end of
        -- this transaction.
        CASE WHEN quantity IS NOT NULL THEN interval '1 minute' END
    );
    v_keys text[];
    v_msg_ids bigint[];
    v_times timestamptz[];
    --# end
BEGIN
    --# if leases
    IF NOT pgmq._is_user('pgmq.q_$queue', 'DELETE') THEN
        RETURN 0;
    END IF;
    IF archive_retention$policy IS NOT NULL THEN
        DELETE FROM pgmq.a_$queue AS a
        WHERE a.msg_id = ANY (ARRAY(
            SELECT o.msg_id
            FROM pgmq.a_$queue AS o
            WHERE o.archived_at < v_now - archive_retention$policy
            ORDER BY o.archived_at
            LIMIT quantity
            FOR UPDATE SKIP LOCKED
        ));
        GET DIAGNOSTICS v_count = ROW_COUNT;
        v_sum := v_sum + v_count;
    END IF;
    --# else
    -- Nobody deletes messages of a stream.
    IF NOT pgmq._is_user('pgmq.q_$queue', 'INSERT') THEN
        RETURN 0;
    END IF;
    --# end
    --# if pending
    WHILE v_page < v_end LOOP
        SELECT
            coalesce(array_agg(d.dedup_key), '{}'),
            coalesce(array_agg(d.msg_id), '{}'),
            coalesce(array_agg(d.enqueued_at), '{}')
        INTO v_keys, v_msg_ids, v_times
        FROM pgmq.dedup_$queue AS d
        WHERE d.ctid >= format('(%s,0)', v_page)::tid
            AND d.ctid < format('(%s,0)', least(v_page + 50, v_end))::tid
            AND d.sent_at <= coalesce(v_until, v_now);
        DELETE FROM pgmq.dedup_$queue AS d
        WHERE d.dedup_key = ANY (ARRAY(
            SELECT o.dedup_key
            FROM unnest(v_keys, v_msg_ids, pgmq._pending_$queue(v_msg_ids, v_times))
                AS u (dedup_key, msg_id, pending)
            INNER JOIN pgmq.dedup_$queue AS o USING (dedup_key, msg_id)
            WHERE u.pending IS NULL
            FOR UPDATE OF o SKIP LOCKED
        ));
        GET DIAGNOSTICS v_count = ROW_COUNT;
        v_sum := v_sum + v_count;
        v_page := v_page + 50;
    END LOOP;
    --# else
    --# if dedup_window
    -- Without a dedup_window this table does not exist.
    DELETE FROM pgmq.dedup_$queue AS d
    WHERE d.dedup_key = ANY (ARRAY(
        SELECT o.dedup_key
        FROM pgmq.dedup_$queue AS o
        WHERE o.sent_at < v_now - dedup_window$policy
        ORDER BY o.sent_at
        LIMIT quantity
        FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_sum := v_sum + v_count;
    --# end
    --# end
    RETURN v_sum;
END
$$;
