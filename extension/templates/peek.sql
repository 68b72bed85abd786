-- The messages that a read would return, neither locked nor leased.
CREATE OR REPLACE FUNCTION pgmq._peek_$queue(quantity integer, condition jsonb)
RETURNS SETOF pgmq."_message_$queue"
LANGUAGE plpgsql VOLATILE ROWS 10
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_now CONSTANT timestamptz := clock_timestamp();
    v_ids bigint[];
BEGIN
    ASSERT pgmq._may('SELECT', queue_name$policy, 'pgmq.q_$queue');
    PERFORM pgmq._check_read(0, quantity);
    --# if partitioned
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_$queue');
    END IF;
    --# end
    --# unless max_receives or message_ttl
    v_ids := pgmq._visible_$queue(v_now, quantity, nullif(condition, '{}'));
    --# end
    --# if max_receives or message_ttl
    -- Some more, for a read would pass over those that must not be handed out.
    v_ids := pgmq._visible_$queue(v_now, quantity + 1000::bigint, nullif(condition, '{}'));
    --# end
    RETURN QUERY
        SELECT m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers
        FROM pgmq.q_$queue AS m
        WHERE $timely(m) AND m.msg_id = ANY (v_ids)
            --# if max_receives or message_ttl
            AND NOT pgmq._is_dead(
                m.read_ct, m.enqueued_at, m.headers, v_now, max_receives$policy, message_ttl$policy
            )
            --# end
        ORDER BY m.msg_id
        LIMIT quantity;
END
$$;
