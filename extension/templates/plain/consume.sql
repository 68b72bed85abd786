--# for plain
-- The quick way to pop: like receive, but the messages are removed.
CREATE OR REPLACE FUNCTION pgmq._consume_$queue(quantity integer, alike anyelement)
RETURNS SETOF anyelement
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
--# unless rate_limit or priorities or paused_leases
DECLARE
    v_ids bigint[];
--# end
BEGIN
    --# if rate_limit or priorities or paused_leases
    RETURN QUERY SELECT l.* FROM pgmq._remove(queue_name$policy, quantity) AS l;
    --# else
    RETURN QUERY
        DELETE FROM pgmq.q_$queue AS m
        WHERE m.msg_id = ANY (ARRAY(
                SELECT q.msg_id
                FROM pgmq.q_$queue AS q
                WHERE q.vt <= q.enqueued_at
                    AND q.msg_id >= (SELECT pgmq._id_mark('pgmq.ready_mark_$queue'))
                    AND NOT EXISTS (
                        SELECT FROM pgmq.q_$queue AS d
                        WHERE d.vt > d.enqueued_at
                            AND d.vt >= pgmq._parked_mark('pgmq.parked_mark_$queue')
                            AND d.vt <= pgmq._clock()
                    )
                ORDER BY q.msg_id
                LIMIT quantity
                FOR UPDATE SKIP LOCKED
            ))
            --# if message_ttl
            AND pgmq._expires_at(m.enqueued_at, m.headers, message_ttl$policy) > pgmq._clock()
            --# end
            AND pgmq._may('DELETE', queue_name$policy, 'pgmq.q_$queue')
        RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers;
    --# if message_ttl
    DECLARE
        v_count bigint;
    BEGIN
        GET DIAGNOSTICS v_count = ROW_COUNT;
        IF v_count BETWEEN 1 AND quantity - 1 THEN      -- expired ones may be in front
            PERFORM pgmq._without_dead(
                queue_name$policy,
                pgmq._visible(queue_name$policy, clock_timestamp(), least(quantity, 200), null)
            );
        END IF;
    END;
    --# end
    IF NOT FOUND THEN
        v_ids := pgmq._hand_out(
            queue_name$policy, 'meter', quantity,
            CASE WHEN to_regproc('pgmq._meter_$queue') IS NULL THEN pgmq._choose_$queue(
                clock_timestamp(), quantity, null, quantity + '20'::bigint, '{}'
            ) END
        );
        -- A statement of its own: it sees what has been committed until then, as what chose does.
        IF pg_catalog.cardinality(v_ids) > 0 THEN
            RETURN QUERY
                DELETE FROM pgmq.q_$queue AS m
                WHERE m.msg_id = ANY (v_ids)
                    AND pgmq._may('DELETE', queue_name$policy, 'pgmq.q_$queue')
                RETURNING
                    m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers;
        END IF;
    END IF;
    --# end
    --# if schedules
    IF pgmq._is_tick_due('pgmq.tick_due_$queue') THEN
        PERFORM pgmq._fire(queue_name$policy);
    END IF;
    --# end
END
$$;
