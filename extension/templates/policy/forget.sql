--# for archive_retention or dedup_window
-- Remove archived messages and deduplication keys that the policy no longer keeps, the oldest
-- first, up to so many of each, and return how many were removed. (SECURITY DEFINER: a consumer may
-- have no right to the archive. Callers that may not use the queue get nothing done: until they
-- commit, they would hold keys that senders wait for.)
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
    RETURN v_sum;
END
$$;
