--# for partitioned
-- The quick way to pop: like receive, but the messages that are found are removed.
CREATE OR REPLACE FUNCTION pgmq._consume_$queue(quantity integer, alike anyelement)
RETURNS SETOF anyelement
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
--# unless rate_limit or priorities or paused_leases or message_ttl
DECLARE
    v_ids bigint[];
--# end
BEGIN
    --# if rate_limit or priorities or paused_leases or message_ttl
    RETURN QUERY SELECT l.* FROM pgmq._remove(queue_name$policy, quantity) AS l;
    --# else
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_$queue');
    END IF;
    v_ids := pgmq._front_$queue(quantity);
    IF pg_catalog.cardinality(v_ids) = 0 THEN
        v_ids := pgmq._hand_out(
            queue_name$policy, 'meter', quantity,
            CASE WHEN to_regproc('pgmq._meter_$queue') IS NULL THEN pgmq._choose_$queue(
                clock_timestamp(), quantity, null, quantity + '20'::bigint, '{}'
            ) END
        );
        IF pg_catalog.cardinality(v_ids) > 0 THEN
            RETURN QUERY SELECT t.* FROM pgmq._take_$queue(v_ids, alike) AS t;
        END IF;
        RETURN;
    END IF;
    RETURN QUERY
        WITH removed AS (
            DELETE FROM pgmq.q_$queue AS m
            WHERE m.msg_id = ANY (v_ids)
                --# if by_time
                AND front$partitions(m)
                --# end
                AND pgmq._may('DELETE', queue_name$policy, 'pgmq.q_$queue')
            RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers
        )
        SELECT r.* FROM removed AS r ORDER BY r.msg_id;
    IF pgmq._chance(quantity, 32) THEN
        PERFORM pgmq._tend_$queue();
    END IF;
    --# end
    --# if schedules
    IF pgmq._is_tick_due('pgmq.tick_due_$queue') THEN
        PERFORM pgmq._fire(queue_name$policy);
    END IF;
    --# end
END
$$;
