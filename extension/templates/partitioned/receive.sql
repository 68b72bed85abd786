--# for partitioned
-- The quick way to read: lease for some seconds the messages that _front() finds in the first
-- partitions, and return them in msg_id order. The long way, _lease(), follows if they are too few,
-- or if the policy has to be looked at first. (The template for plain queues says where a lease may
-- end, and what alike is.)
CREATE OR REPLACE FUNCTION pgmq._receive_$queue(seconds integer, quantity integer, alike anyelement)
RETURNS SETOF anyelement
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
--# unless admission or message_ttl or priorities
DECLARE
    v_ids bigint[];
    v_chosen record;
    --# if max_receives
    v_path text;
    --# end
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
        IF pgmq._is_sweep_due('pgmq.parked_mark_$queue', 'pgmq.sweep_due_$queue')
            --# if schedules
            OR pgmq._is_tick_due('pgmq.tick_due_$queue')
            --# end
            OR pgmq._soonest_$queue(null, null, clock_timestamp()) IS NOT NULL
        THEN
            --# if max_receives
            v_path := pg_catalog.current_setting('search_path'::text);
            --# end
            v_chosen := pgmq._choose_$queue(
                clock_timestamp(), quantity, null, quantity + '20'::bigint, '{}'
            );
            IF v_chosen.looked_at <> 0
                AND pg_catalog.cardinality(v_chosen.locked) = least(quantity, v_chosen.looked_at)
                --# if max_receives
                AND pg_catalog.cardinality(pgmq._bury_$queue(v_chosen.locked)) = 0
                --# else
                AND to_regproc('pgmq._bury_$queue') IS NULL
                --# end
            THEN
                RETURN QUERY SELECT p.* FROM pgmq._park_$queue(
                    v_chosen.locked, clock_timestamp() + pg_catalog.make_interval(secs => seconds),
                    true, alike
                ) AS p;
                RETURN;
            END IF;
            --# if max_receives
            PERFORM pgmq._restore_search_path(v_path);
            --# end
            RETURN QUERY
                SELECT l.* FROM pgmq._lease(queue_name$policy, seconds, quantity, null) AS l;
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
