--# for partitioned
-- Make messages visible at a time (now if it is past) and return them, in msg_id order. For a read,
-- they are leased until that time. See receive about where a lease may end. By time, see shift:
-- what is found by the second look comes last.
CREATE OR REPLACE FUNCTION pgmq._park_$queue(
    msg_ids bigint[],
    visible_at timestamptz,
    is_read boolean,
    alike anyelement
)
RETURNS SETOF anyelement
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
--# if by_time
DECLARE
    v_beyond boolean := false;
    v_count integer;
    v_missing integer := pg_catalog.cardinality(msg_ids);
--# end
BEGIN
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_$queue');
    END IF;
    --# if by_time
    LOOP
    --# end
    RETURN QUERY
        WITH parked AS (
            UPDATE pgmq.q_$queue AS m
            SET read_ct = CASE WHEN is_read THEN pgmq._next_receipt(m.read_ct) ELSE m.read_ct END,
                last_read_at = CASE WHEN is_read THEN clock_timestamp() ELSE m.last_read_at END,
                vt = pgmq._parked_until(visible_at, m.enqueued_at)
            WHERE m.msg_id = ANY (msg_ids)
                --# if by_time
                AND (lookup$partitions(m)) <> v_beyond
                --# end
                AND pgmq._may('UPDATE', queue_name$policy, 'pgmq.q_$queue')
            RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers
        )
        SELECT p.* FROM parked AS p ORDER BY p.msg_id;
    --# if by_time
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_missing := v_missing - v_count;
    EXIT WHEN v_missing = 0 OR v_beyond;
    v_beyond := true;
    END LOOP;
    --# end
    IF is_read AND pgmq._chance(pg_catalog.cardinality(msg_ids), 32) THEN
        PERFORM pgmq._tend_$queue();
    END IF;
END
$$;
