--# for partitioned
-- The quick way to read: lease for some seconds the messages that _front() finds in the first
-- partitions, and return them in msg_id order. If they are too few, or one is due, _choose() looks
-- at all, as for plain queues; the long way comes first if the policy has to be looked at. (The
-- template for plain queues says what the long way is, where a lease may end, and what alike is.)
CREATE OR REPLACE FUNCTION pgmq._receive_$queue(seconds integer, quantity integer, alike anyelement)
RETURNS SETOF anyelement
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
--# unless admission or message_ttl or priorities
DECLARE
    v_ids bigint[];
--# end
BEGIN
    --# if admission or message_ttl or priorities
    RETURN QUERY SELECT l.* FROM pgmq._lease(queue_name$policy, seconds, quantity, null) AS l;
    --# else
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_$queue');
    END IF;
    v_ids := pgmq._front_$queue(quantity);
    IF pg_catalog.cardinality(v_ids) = 0 THEN
        v_ids := pgmq._hand_out(
            queue_name$policy, 'admit', quantity,
            CASE WHEN to_regproc('pgmq._admit_$queue') IS NULL THEN pgmq._choose_$queue(
                clock_timestamp(), quantity, null, quantity + '20'::bigint, '{}'
            ) END
        );
        IF pg_catalog.cardinality(v_ids) > 0 THEN
            RETURN QUERY SELECT p.* FROM pgmq._park_$queue(
                v_ids, clock_timestamp() + pg_catalog.make_interval(secs => seconds), true, alike
            ) AS p;
        END IF;
        RETURN;
    END IF;
    RETURN QUERY
        WITH leased AS (
            UPDATE pgmq.q_$queue AS m
            SET read_ct = pgmq._next_receipt(m.read_ct),
                last_read_at = clock_timestamp(),
                vt = pgmq._lease_end(seconds, m.enqueued_at)
            WHERE m.msg_id = ANY (v_ids)
                --# if by_time
                AND front$partitions(m)
                --# end
                AND pgmq._may('UPDATE', queue_name$policy, 'pgmq.q_$queue')
            RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers
        )
        SELECT l.* FROM leased AS l ORDER BY l.msg_id;
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
