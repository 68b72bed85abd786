-- The oldest free groups, as far as the front of the queue shows them, each by its head: the
-- message with the smallest msg_id, which is visible. Groups are looked for among the first ready
-- messages, the first due parked ones, and those that an earlier call remembered. Also returned:
-- which of the remembered ones are still free, and the few groups that the most messages at the
-- front are of. Without the index it is all free groups, found by reading the whole queue. Nothing
-- is locked, so the result is a hint.
CREATE OR REPLACE FUNCTION pgmq._groupfront_$queue(
    as_of timestamptz,
    quantity integer,
    remembered bigint[],
    indexed boolean,
    OUT heads bigint[],
    OUT still_free bigint[],
    OUT crowded bigint[]
)
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_ready bigint;
    v_parked timestamptz;
    v_live bigint;
BEGIN
    IF NOT indexed THEN
        SELECT coalesce(array_agg(h.msg_id ORDER BY h.msg_id), '{}') INTO heads
        FROM (
            SELECT DISTINCT ON (pgmq._group(q.headers))
                q.msg_id, q.vt <= as_of OR q.vt <= q.enqueued_at AS visible
            FROM pgmq.q_$queue AS q
            ORDER BY pgmq._group(q.headers), q.msg_id
        ) AS h
        WHERE h.visible;
        RETURN;
    END IF;

    v_ready := pgmq._id_mark('pgmq.ready_mark_$queue');
    v_parked := pgmq._parked_mark('pgmq.parked_mark_$queue');
    v_live := pgmq._id_mark('pgmq.live_mark_$queue');
    SELECT
        coalesce(array_agg(h.msg_id ORDER BY h.msg_id) FILTER (WHERE h.visible), '{}'),
        coalesce(array_agg(g.id) FILTER (WHERE h.visible AND g.id = ANY (remembered)), '{}'),
        (array_agg(g.id ORDER BY g.messages DESC))[:8]
    INTO heads, still_free, crowded
    FROM (
        SELECT c.id, count(*) AS messages
        FROM (
            (
                SELECT pgmq._group(q.headers)
                FROM pgmq.q_$queue AS q
                WHERE q.vt <= q.enqueued_at AND q.msg_id >= v_ready
                ORDER BY q.msg_id
                LIMIT quantity + 20::bigint
            )
            UNION ALL
            (
                SELECT pgmq._group(q.headers)
                FROM pgmq.q_$queue AS q
                WHERE q.vt > q.enqueued_at AND q.vt BETWEEN v_parked AND as_of
                ORDER BY q.vt
                LIMIT quantity + 20::bigint
            )
            UNION ALL
            SELECT unnest(remembered)
        ) AS c (id)
        GROUP BY c.id
    ) AS g
    -- A range of the group and its order: for an equal one ordered by msg_id alone, the planner
    -- may walk the primary key.
    CROSS JOIN LATERAL (
        SELECT q.msg_id, q.vt <= as_of OR q.vt <= q.enqueued_at AS visible
        FROM pgmq.q_$queue AS q
        WHERE (pgmq._group(q.headers), q.msg_id) >= (g.id, v_live)
            AND pgmq._group(q.headers) <= g.id
        ORDER BY pgmq._group(q.headers), q.msg_id
        LIMIT 1
    ) AS h;
END
$$;
