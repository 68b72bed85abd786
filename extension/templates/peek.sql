-- The messages that a read would return, neither locked nor leased.
CREATE OR REPLACE FUNCTION pgmq._peek_$queue(quantity integer, condition jsonb)
RETURNS SETOF pgmq."_message_$queue"
LANGUAGE plpgsql VOLATILE ROWS 10
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_ids bigint[];
BEGIN
    PERFORM pgmq._check_read(0, quantity);
    --# if partitioned
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_$queue');
    END IF;
    --# end
    v_ids := pgmq._visible_$queue(clock_timestamp(), quantity, nullif(condition, '{}'));
    RETURN QUERY
        SELECT m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers
        FROM pgmq.q_$queue AS m
        WHERE $timely(m) AND m.msg_id = ANY (v_ids)
        ORDER BY m.msg_id;
END
$$;
