-- The oldest free groups, as far as the front of the queue shows them, each by its head: the
-- message with the smallest msg_id, which is visible. Groups are looked for among the first ready
-- messages, the first due parked ones, and those that an earlier call remembered. Also returned:
-- which of the remembered ones are still free, the few groups that the most messages at the front
-- are of, and whether that was every visible message there is. Without the index, the oldest
-- messages are read until there are enough groups among them. Nothing is locked, so the result is a
-- hint.
CREATE OR REPLACE FUNCTION pgmq._groupfront_$queue(
    as_of timestamptz,
    quantity integer,
    remembered bigint[],
    indexed boolean,
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
DECLARE
    v_limit bigint := CASE WHEN indexed THEN quantity + 20::bigint ELSE 1000 END;
    v_ready bigint;
    v_parked timestamptz;
    v_live bigint;
    v_count bigint;
BEGIN
    WHILE NOT indexed LOOP
        SELECT
            coalesce(array_agg(h.msg_id ORDER BY h.msg_id) FILTER (WHERE h.visible), '{}'),
            coalesce(sum(h.messages), 0)
        INTO heads, v_count
        FROM (
            SELECT DISTINCT ON (f.id)
                f.msg_id, f.visible, count(*) OVER (PARTITION BY f.id) AS messages
            FROM (
                SELECT
                    pgmq._group(q.headers) AS id,
                    q.msg_id,
                    q.vt <= as_of OR q.vt <= q.enqueued_at AS visible
                FROM pgmq.q_$queue AS q
                WHERE $live(q) AND true
                ORDER BY q.msg_id
                LIMIT v_limit
            ) AS f
            ORDER BY f.id, f.msg_id
        ) AS h;
        complete := v_count < v_limit;
        IF complete OR cardinality(heads) >= quantity THEN
            RETURN;
        END IF;
        v_limit := 8 * v_limit;
    END LOOP;

    v_ready := pgmq._id_mark('pgmq.ready_mark_$queue');
    v_parked := pgmq._parked_mark('pgmq.parked_mark_$queue');
    v_live := pgmq._id_mark('pgmq.live_mark_$queue');
    SELECT
        coalesce(array_agg(h.msg_id ORDER BY h.msg_id) FILTER (WHERE h.visible), '{}'),
        coalesce(array_agg(g.id) FILTER (WHERE h.visible AND g.id = ANY (remembered)), '{}'),
        (array_agg(g.id ORDER BY g.ready + g.due DESC))[:8],
        coalesce(sum(g.ready) < v_limit AND sum(g.due) < v_limit, true)
    INTO heads, still_free, crowded, complete
    FROM (
        SELECT c.id, sum(c.ready) AS ready, sum(c.due) AS due
        FROM (
            (
                SELECT pgmq._group(q.headers), 1, 0
                FROM pgmq.q_$queue AS q
                WHERE $live(q) AND q.vt <= q.enqueued_at AND q.msg_id >= v_ready
                ORDER BY q.msg_id
                LIMIT v_limit
            )
            UNION ALL
            (
                SELECT pgmq._group(q.headers), 0, 1
                FROM pgmq.q_$queue AS q
                WHERE $live(q) AND q.vt > q.enqueued_at AND q.vt BETWEEN v_parked AND as_of
                ORDER BY q.vt
                LIMIT v_limit
            )
            UNION ALL
            SELECT r, 0, 0 FROM unnest(remembered) AS r
        ) AS c (id, ready, due)
        GROUP BY c.id
    ) AS g
    -- A range of the group and its order: for an equal one ordered by msg_id alone, the planner
    -- may walk the primary key. A remembered group may be empty by now.
    LEFT JOIN LATERAL (
        SELECT q.msg_id, q.vt <= as_of OR q.vt <= q.enqueued_at AS visible
        FROM pgmq.q_$queue AS q
        WHERE $live(q) AND (pgmq._group(q.headers), q.msg_id + 0) >= (g.id, v_live)
            AND pgmq._group(q.headers) <= g.id
        ORDER BY pgmq._group(q.headers), q.msg_id + 0
        LIMIT 1
    ) AS h ON true;
END
$$;
