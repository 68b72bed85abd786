-- Free groups, found by stepping from group to group through the index, from a place in it on
-- (around its end, at most once around), until enough of them are found or max_steps groups have
-- been looked at. The hash that the index is ordered by spreads groups evenly. Groups that are
-- known already are jumped over: a crowded one may begin with very many dead entries, which a step
-- into it would have to pass. Nothing is locked.
CREATE OR REPLACE FUNCTION pgmq._groupsearch_$queue(
    as_of timestamptz,
    wanted integer,
    max_steps integer,
    known bigint[],
    INOUT place bigint,
    OUT heads bigint[],
    OUT groups bigint[]
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_least CONSTANT bigint := -9223372036854775808;
    v_greatest CONSTANT bigint := 9223372036854775807;
    v_live CONSTANT bigint := pgmq._id_mark('pgmq.live_mark_$queue');
    v_start CONSTANT bigint := place;
    v_end bigint := v_greatest;
    v_until bigint;
    v_heads bigint[];
    v_groups bigint[];
    v_steps integer;
BEGIN
    heads := '{}';
    groups := '{}';
    LOOP
        -- As far as the next known group; the first row stands for the place itself.
        v_until := least(
            v_end, (SELECT min(k.id) - 1 FROM unnest(known) AS k (id) WHERE k.id > place)
        );
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
                WHERE $live(q) AND pgmq._group(q.headers) > s.id
                    AND pgmq._group(q.headers) <= v_until
                    AND q.msg_id + 0 >= v_live
                ORDER BY pgmq._group(q.headers), q.msg_id + 0
                LIMIT 1
            ) AS n
            WHERE s.number < max_steps AND s.found < wanted
        )
        SELECT
            coalesce(array_agg(s.head) FILTER (WHERE s.visible), '{}'),
            coalesce(array_agg(s.id) FILTER (WHERE s.visible), '{}'),
            max(s.id),
            max(s.number)
        INTO v_heads, v_groups, place, v_steps
        FROM step AS s;
        heads := heads || v_heads;
        groups := groups || v_groups;
        wanted := wanted - cardinality(v_heads);
        max_steps := max_steps - v_steps;
        EXIT WHEN wanted <= 0 OR max_steps <= 0;

        IF v_until < v_end THEN
            place := v_until + 1;
        ELSIF v_end = v_greatest THEN
            -- The rest lies before the place where this call began.
            v_end := v_start;
            place := v_least;
        ELSE
            EXIT;
        END IF;
    END LOOP;
END
$$;
