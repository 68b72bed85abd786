-- Make messages visible at a time; one that is past means now.
CREATE OR REPLACE FUNCTION pgmq._setvt_$queue(msg_ids bigint[], visible_at timestamptz)
RETURNS SETOF pgmq."_message_$queue"
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    ASSERT pgmq._may('UPDATE', queue_name$policy, 'pgmq.q_$queue');
    IF visible_at IS NULL THEN
        PERFORM pgmq._raise_null('vt', 'Give seconds or a time.');
    END IF;
    --# if partitioned
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_$queue');
    END IF;
    --# end
    RETURN QUERY
        --# if partitioned
        WITH m AS (
        --# end
        UPDATE pgmq.q_$queue AS m
        SET vt = greatest(visible_at, clock_timestamp(), m.enqueued_at + interval '1 microsecond')
        WHERE $timely(m) AND m.msg_id = ANY (msg_ids)
        RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers
        --# if partitioned
        ) SELECT m.* FROM m ORDER BY m.msg_id
        --# end
        ;
END
$$;
