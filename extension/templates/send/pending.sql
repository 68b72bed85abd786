--# for pending
-- Return those of these messages that are still in the queue, and null in the place of the others.
-- A message is known by its msg_id and enqueued_at: TRUNCATE can make ids begin again. Nothing
-- notes that a message leaves the queue, so there is no way out of it by which a key would stay
-- taken. Until its removal is committed, a message is still there for others.
CREATE OR REPLACE FUNCTION pgmq._pending_$queue(msg_ids bigint[], times timestamptz[])
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
--# if partitioned
SET plan_cache_mode = force_custom_plan
--# else
SET plan_cache_mode = force_generic_plan
--# end
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    IF pgmq._keeps_snapshot() THEN
        --# if partitioned
        PERFORM pgmq._check_snapshot('pgmq.q_$queue');
        --# end
        -- The snapshot also shows messages that have left the queue since. To lock what has changed
        -- is a serialization failure. Rolled back, this gives back its locks.
        BEGIN
            PERFORM
            FROM unnest(msg_ids, times) AS u (msg_id, enqueued_at)
            INNER JOIN pgmq.q_$queue AS q USING (msg_id, enqueued_at)
            WHERE q.msg_id = ANY (msg_ids)
                --# if by_time
                AND q.enqueued_at = ANY (times)
                --# end
            FOR KEY SHARE OF q SKIP LOCKED;
            RAISE EXCEPTION 'looked' USING ERRCODE = 'PGMQ0';
        EXCEPTION WHEN SQLSTATE 'PGMQ0' THEN
            NULL;
        END;
    END IF;
    RETURN ARRAY(
        SELECT (
            SELECT q.msg_id
            FROM pgmq.q_$queue AS q
            WHERE q.msg_id = u.msg_id AND q.enqueued_at = u.enqueued_at
                --# if partitioned
                AND q.msg_id = ANY (msg_ids)
                --# end
                --# if by_time
                AND q.enqueued_at = ANY (times)
                --# end
        )
        FROM unnest(msg_ids, times) WITH ORDINALITY AS u (msg_id, enqueued_at, place)
        ORDER BY u.place
    );
END
$$;
