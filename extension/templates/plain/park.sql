--# for plain
-- Make messages visible at a time (now if it is past) and return them, in msg_id order. For a read,
-- they are leased until that time. See receive about where a lease may end.
CREATE OR REPLACE FUNCTION pgmq._park_$queue(
    msg_ids bigint[],
    visible_at timestamptz,
    is_read boolean,
    alike anyelement
)
RETURNS SETOF anyelement
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    RETURN QUERY
        UPDATE pgmq.q_$queue AS m
        SET read_ct = CASE WHEN is_read THEN pgmq._next_receipt(m.read_ct) ELSE m.read_ct END,
            last_read_at = CASE WHEN is_read THEN clock_timestamp() ELSE m.last_read_at END,
            vt = pgmq._parked_until(visible_at, m.enqueued_at)
        WHERE m.msg_id = ANY (msg_ids)
            AND pgmq._may('UPDATE', queue_name$policy, 'pgmq.q_$queue')
        RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers;
END
$$;
