--# for fair
-- Return visible messages of these groups in turns: the oldest of each, then the second ones, down
-- to the given depth and no more of a group than there is room for (null: no limit). Messages that
-- others hold, or that were tried before, are left out. Nothing is locked. (To bound the work, of
-- very many due messages of a group only those that fell due first take part.)
CREATE OR REPLACE FUNCTION pgmq._fairfind_$queue(
    as_of timestamptz,
    groups bigint[],
    room integer[],
    depth bigint,
    tried bigint[],
    OUT msg_ids bigint[],
    OUT owners bigint[]
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    SELECT
        coalesce(array_agg(m.msg_id ORDER BY m.round, g.place), '{}'),
        coalesce(array_agg(g.id ORDER BY m.round, g.place), '{}')
    INTO msg_ids, owners
    FROM unnest(groups, room) WITH ORDINALITY AS g (id, room, place)
    CROSS JOIN LATERAL (
        SELECT u.msg_id, row_number() OVER (ORDER BY u.msg_id) AS round
        FROM (
            -- The order is that of the indexes by group alone, so that the planner chooses these.
            (
                SELECT q.msg_id
                FROM pgmq.q_$queue AS q
                WHERE live$partitions(q) AND q.vt <= q.enqueued_at
                    AND pgmq._group(q.headers) = g.id
                    AND q.msg_id + 0 >= (SELECT pgmq._id_mark('pgmq.ready_mark_$queue'))
                    AND (q.msg_id IN (SELECT t FROM unnest(tried) AS t)) IS NOT TRUE
                    AND (q.xmax = '0' OR NOT pgmq._is_held(q.xmax, q.xmin))
                ORDER BY q.msg_id + 0
                LIMIT least(depth, g.room)
            )
            UNION ALL
            (
                SELECT d.msg_id
                FROM (VALUES (false), (true)) AS l (is_read)
                CROSS JOIN LATERAL (
                    SELECT q.msg_id
                    FROM pgmq.q_$queue AS q
                    WHERE live$partitions(q) AND q.vt > q.enqueued_at
                        AND pgmq._group(q.headers) = g.id
                        AND (q.last_read_at IS NOT NULL) = l.is_read
                        AND least(q.vt) >= (SELECT pgmq._parked_mark('pgmq.parked_mark_$queue'))
                        AND least(q.vt) <= as_of
                        AND (q.msg_id IN (SELECT t FROM unnest(tried) AS t)) IS NOT TRUE
                        AND (q.xmax = '0' OR NOT pgmq._is_held(q.xmax, q.xmin))
                    ORDER BY least(q.vt)
                    LIMIT least(depth, g.room)
                ) AS d
            )
        ) AS u
        ORDER BY u.msg_id
        LIMIT least(depth, g.room)
    ) AS m;
END
$$;
