--# for fifo
-- Return free groups, each by its head and by its number. The search steps through the index from
-- group to group, from the given place to the end, until it has found enough groups or looked at
-- max_steps groups. Also return the place where it stopped, and how many steps it took. Nothing is
-- locked.
CREATE OR REPLACE FUNCTION pgmq._findgroups_$queue(
    as_of timestamptz,
    wanted integer,
    max_steps integer,
    INOUT place bigint,
    last_place bigint,
    OUT heads bigint[],
    OUT groups bigint[],
    OUT steps integer
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    -- The first row is the place where the search begins.
    WITH RECURSIVE step (id, head, visible, number, found) AS (
        SELECT place, null::bigint, false, 0, 0
        UNION ALL
        SELECT n.id, n.head, n.visible, s.number + 1, s.found + n.visible::integer
        FROM step AS s
        CROSS JOIN LATERAL (
            SELECT
                pgmq._group(q.headers) AS id,
                q.msg_id AS head,
                q.vt <= as_of OR q.vt <= q.enqueued_at AS visible
            FROM pgmq.q_$queue AS q
            WHERE live$partitions(q) AND pgmq._group(q.headers) > s.id
                AND pgmq._group(q.headers) <= last_place
                AND q.msg_id + 0 >= (SELECT pgmq._id_mark('pgmq.live_mark_$queue'))
            ORDER BY pgmq._group(q.headers), q.msg_id + 0
            LIMIT 1
        ) AS n
        WHERE s.number < max_steps AND s.found < wanted
    )
    SELECT
        max(s.id),
        coalesce(array_agg(s.head) FILTER (WHERE s.visible), '{}'),
        coalesce(array_agg(s.id) FILTER (WHERE s.visible), '{}'),
        max(s.number)
    INTO place, heads, groups, steps
    FROM step AS s;
END
$$;
