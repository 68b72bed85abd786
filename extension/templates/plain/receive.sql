--# for plain
-- The quick way to read: while no parked message is due, only ready messages are visible. Lease
-- those with the smallest msg_id for some seconds, and return them in msg_id order. (The scan of
-- the primary key for = ANY of an array is in that order, whatever the order of the array; a sort
-- would cost a tenth of the call.)
--
-- If that finds none, _choose() merges due and ready messages. If that does not do, the long way
-- follows, which is common to all queues: if others hold too many of those that _choose() has
-- looked at, if none of them may be handed out, if the marks need upkeep, or if admission has to be
-- looked at first. (So have limits that were set since this call began.)
--
-- A lease never ends behind the clock, which is read under the table's lock: the parked mark may
-- have passed an earlier time. Nor does it end where the message would count as ready again: the
-- clock may have been set back. ARRAY() locks messages before the update looks them up, whatever
-- the plan. The marks are read in the statement itself, after the table is locked. A drop of the
-- queue locks the table first, too, so a read that comes too late learns that the queue is gone.
--
-- alike is a null of type message_record: the type of the rows. So the function does not depend on
-- that type, which belongs to the extension, and DROP EXTENSION can drop the type.
CREATE OR REPLACE FUNCTION pgmq._receive_$queue(seconds integer, quantity integer, alike anyelement)
RETURNS SETOF anyelement
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    --# if admission or priorities
    RETURN QUERY SELECT l.* FROM pgmq._lease(queue_name$policy, seconds, quantity, null) AS l;
    --# else
    RETURN QUERY
        UPDATE pgmq.q_$queue AS m
        SET read_ct = pgmq._next_receipt(m.read_ct),
            last_read_at = clock_timestamp(),
            vt = pgmq._lease_end(seconds, m.enqueued_at)
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
            AND pgmq._may('UPDATE', queue_name$policy, 'pgmq.q_$queue')
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
        RETURN QUERY
            SELECT p.*
            FROM pgmq._hand_out(
                queue_name$policy, 'admit', quantity,
                CASE WHEN to_regproc('pgmq._admit_$queue') IS NULL THEN pgmq._choose_$queue(
                    clock_timestamp(), quantity, null, quantity + '20'::bigint, '{}'
                ) END
            ) AS h (ids)
            CROSS JOIN LATERAL pgmq._park_$queue(
                h.ids, clock_timestamp() + pg_catalog.make_interval(secs => seconds), true, alike
            ) AS p
            WHERE pg_catalog.cardinality(h.ids) > 0;
    END IF;
    --# end
    --# if schedules
    IF pgmq._is_tick_due('pgmq.tick_due_$queue') THEN
        PERFORM pgmq._fire(queue_name$policy);
    END IF;
    --# end
END
$$;
