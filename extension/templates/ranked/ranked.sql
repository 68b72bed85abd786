--# for priorities
-- Return which visible messages come first, in order: the highest priority first, and within a
-- priority the smallest msg_id, due and ready ones merged. (Of many due messages of a priority,
-- only those that fell due first take part.) With priority_ageing, a message counts as if it had
-- been sent so much earlier for each step of its priority, and the earliest comes first.
--
-- Each priority is a queue of its own, with its part of two indexes and its own low-water marks.
-- The priorities are looked through one after the other, and without priority_ageing only until
-- there are enough messages. (Nothing but a nested loop can join a lateral subquery to a list. So
-- they come in the order of the list.)
CREATE OR REPLACE FUNCTION pgmq._ranked_$queue(
    as_of timestamptz,
    breadth bigint,
    condition jsonb
)
RETURNS bigint[]
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    RETURN ARRAY(
        SELECT m.msg_id
        FROM (
            VALUES
                (9, 'pgmq.ready9_mark_$queue'::regclass, 'pgmq.parked9_mark_$queue'::regclass),
                (8, 'pgmq.ready8_mark_$queue', 'pgmq.parked8_mark_$queue'),
                (7, 'pgmq.ready7_mark_$queue', 'pgmq.parked7_mark_$queue'),
                (6, 'pgmq.ready6_mark_$queue', 'pgmq.parked6_mark_$queue'),
                (5, 'pgmq.ready5_mark_$queue', 'pgmq.parked5_mark_$queue'),
                (4, 'pgmq.ready4_mark_$queue', 'pgmq.parked4_mark_$queue'),
                (3, 'pgmq.ready3_mark_$queue', 'pgmq.parked3_mark_$queue'),
                (2, 'pgmq.ready2_mark_$queue', 'pgmq.parked2_mark_$queue'),
                (1, 'pgmq.ready1_mark_$queue', 'pgmq.parked1_mark_$queue'),
                (0, 'pgmq.ready0_mark_$queue', 'pgmq.parked0_mark_$queue')
        ) AS p (priority, ready_mark, parked_mark)
        CROSS JOIN LATERAL (
            SELECT u.msg_id, u.headers, u.enqueued_at
            FROM (
                (
                    SELECT q.msg_id, q.headers, q.enqueued_at
                    FROM pgmq.q_$queue AS q
                    WHERE live$partitions(q) AND pgmq._priority(q.headers) = p.priority
                        AND q.vt > q.enqueued_at AND q.vt <= as_of
                        AND q.vt >= pgmq._parked_mark(p.parked_mark)
                        AND (condition IS NULL OR q.message @> condition)
                    ORDER BY q.vt
                    LIMIT greatest(200, 2 * breadth)
                )
                UNION ALL
                (
                    SELECT q.msg_id, q.headers, q.enqueued_at
                    FROM pgmq.q_$queue AS q
                    WHERE live$partitions(q) AND pgmq._priority(q.headers) = p.priority
                        AND q.vt <= q.enqueued_at
                        AND q.msg_id >= pgmq._id_mark(p.ready_mark)
                        AND (condition IS NULL OR q.message @> condition)
                    ORDER BY q.msg_id
                    LIMIT breadth
                )
            ) AS u
            ORDER BY u.msg_id
            LIMIT breadth
        ) AS m
        --# if priority_ageing
        ORDER BY pgmq._precedence(m.headers, m.enqueued_at, priority_ageing$policy), m.msg_id
        --# end
        LIMIT breadth
    );
END
$$;
