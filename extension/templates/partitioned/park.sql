--# for partitioned
-- Make messages visible at a time (now if it is past) and return them, in msg_id order. For a read,
-- they are leased until that time. See read about where a lease may end.
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
BEGIN
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_$queue');
    END IF;
    RETURN QUERY
        WITH parked AS (
            UPDATE pgmq.q_$queue AS m
            SET read_ct = CASE WHEN is_read THEN pgmq._next_receipt(m.read_ct) ELSE m.read_ct END,
                last_read_at = CASE WHEN is_read THEN clock_timestamp() ELSE m.last_read_at END,
                vt = pgmq._parked_until(visible_at, m.enqueued_at)
            WHERE lookup$partitions(m) AND m.msg_id = ANY (msg_ids)
                AND pgmq._may('UPDATE', queue_name$policy, 'pgmq.q_$queue')
            RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers
        )
        SELECT p.* FROM parked AS p ORDER BY p.msg_id;
    IF is_read AND pgmq._chance(pg_catalog.cardinality(msg_ids), 32) THEN
        PERFORM pgmq._tend_$queue();
    END IF;
END
$$;
