--# for fifo
-- Return the oldest free groups that the front of the queue shows. A group is given by its head,
-- the message with the smallest msg_id; it is free if the head is visible. Looked at are the groups
-- of the first ready messages and of the first due parked ones (breadth says how many), and the
-- groups that the caller knows. Also return which of the known groups are still free, the few
-- groups with the most messages at the front, and whether the front held all visible messages.
-- Nothing is locked, so the result is only a hint. With a breadth of 0, return only the head of the
-- one known group, visible or not.
CREATE OR REPLACE FUNCTION pgmq._frontgroups_$queue(
    as_of timestamptz,
    breadth bigint,
    known bigint[],
    OUT heads bigint[],
    OUT still_free bigint[],
    OUT crowded bigint[],
    OUT complete boolean
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    --# if partitioned
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_$queue');
    END IF;
    --# end
    IF breadth = 0 THEN
        heads := ARRAY(
            SELECT q.msg_id
            FROM pgmq.q_$queue AS q
            WHERE live$partitions(q) AND pgmq._may('UPDATE', queue_name$policy, 'pgmq.q_$queue')
                AND (pgmq._group(q.headers), q.msg_id + 0)
                    >= (known[1], (SELECT pgmq._id_mark('pgmq.live_mark_$queue')))
                AND pgmq._group(q.headers) <= known[1]
            ORDER BY pgmq._group(q.headers), q.msg_id + 0
            LIMIT 1
        );
        RETURN;
    END IF;
    SELECT
        coalesce(array_agg(h.msg_id ORDER BY h.msg_id) FILTER (WHERE h.visible), '{}'),
        coalesce(array_agg(g.id) FILTER (WHERE h.visible AND g.id = ANY (known)), '{}'),
        (array_agg(g.id ORDER BY g.ready + g.due DESC))[:8],
        coalesce(sum(g.ready) < breadth AND sum(g.due) < breadth, true)
    INTO heads, still_free, crowded, complete
    FROM (
        SELECT c.id, sum(c.ready) AS ready, sum(c.due) AS due
        FROM (
            (
                SELECT pgmq._group(q.headers), 1, 0
                FROM pgmq.q_$queue AS q
                WHERE live$partitions(q) AND pgmq._may('UPDATE', queue_name$policy, 'pgmq.q_$queue')
                    AND q.vt <= q.enqueued_at
                    AND q.msg_id >= (SELECT pgmq._id_mark('pgmq.ready_mark_$queue'))
                ORDER BY q.msg_id
                LIMIT breadth
            )
            UNION ALL
            (
                SELECT pgmq._group(q.headers), 0, 1
                FROM pgmq.q_$queue AS q
                WHERE live$partitions(q) AND q.vt > q.enqueued_at AND q.vt <= as_of
                    AND q.vt >= (SELECT pgmq._parked_mark('pgmq.parked_mark_$queue'))
                ORDER BY q.vt
                LIMIT breadth
            )
            UNION ALL
            SELECT k, 0, 0 FROM unnest(known) AS k
        ) AS c (id, ready, due)
        GROUP BY c.id
    ) AS g
    -- The group is a range, and part of the order: with "=" and an order by msg_id alone, the
    -- planner may walk the primary key. A known group may be empty by now.
    LEFT JOIN LATERAL (
        SELECT q.msg_id, q.vt <= as_of OR q.vt <= q.enqueued_at AS visible
        FROM pgmq.q_$queue AS q
        WHERE live$partitions(q)
            AND (pgmq._group(q.headers), q.msg_id + 0)
                >= (g.id, (SELECT pgmq._id_mark('pgmq.live_mark_$queue')))
            AND pgmq._group(q.headers) <= g.id
        ORDER BY pgmq._group(q.headers), q.msg_id + 0
        LIMIT 1
    ) AS h ON true;
END
$$;
