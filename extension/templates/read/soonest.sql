--# for leases
-- Return when the first message is visible; null if none is by the given time. The search begins at
-- the marks or, with since, looks only at messages parked until later times than that. With as_of,
-- messages that are visible then do not count if no read would hand them out, since they have
-- expired or were received too often; up to 1,000 of them are passed. Hidden ones count: somebody
-- must read when they fall due, which takes them away. And the next message of a schedule counts.
CREATE OR REPLACE FUNCTION pgmq._soonest_$queue(
    as_of timestamptz,
    since timestamptz,
    until timestamptz
)
RETURNS timestamptz
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    --# if partitioned
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_$queue');
    END IF;
    --# end
    RETURN least(
        --# if schedules
        --# unless paused_sends
        (
            SELECT min(t.next_at)
            FROM pgmq._ticks_of(queue_name$policy) AS t (next_at)
            WHERE t.next_at <= until AND as_of IS NOT NULL
        ),
        --# end
        --# end
        (
            SELECT f.vt
            FROM (
                SELECT q.vt, q.read_ct, q.enqueued_at, q.headers
                FROM pgmq.q_$queue AS q
                WHERE live$partitions(q) AND q.vt <= q.enqueued_at AND since IS NULL
                    AND q.msg_id >= pgmq._id_mark('pgmq.ready_mark_$queue')
                ORDER BY q.msg_id
                LIMIT 1000
            ) AS f
            --# if max_receives or message_ttl
            WHERE as_of IS NULL OR NOT pgmq._is_dead(
                f.read_ct, f.enqueued_at, f.headers, as_of, max_receives$policy, message_ttl$policy
            )
            --# end
            LIMIT 1
        ),
        (
            SELECT f.vt
            FROM (
                SELECT q.vt, q.read_ct, q.enqueued_at, q.headers
                FROM pgmq.q_$queue AS q
                WHERE live$partitions(q) AND q.vt > q.enqueued_at AND q.vt <= until
                    AND q.vt >= coalesce(since, pgmq._parked_mark('pgmq.parked_mark_$queue'))
                ORDER BY q.vt
                LIMIT 1000
            ) AS f
            --# if max_receives or message_ttl
            WHERE as_of IS NULL OR f.vt > as_of OR NOT pgmq._is_dead(
                f.read_ct, f.enqueued_at, f.headers, as_of, max_receives$policy, message_ttl$policy
            )
            --# end
            LIMIT 1
        )
    );
END
$$;
