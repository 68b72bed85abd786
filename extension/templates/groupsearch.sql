-- Free groups, found by stepping from group to group through the index, from a place in it on
-- (around its end, at most once around), until enough of them are found or max_steps groups have
-- been looked at. The hash that the index is ordered by spreads groups evenly. Nothing is locked.
CREATE OR REPLACE FUNCTION pgmq._groupsearch_$queue(
    as_of timestamptz,
    wanted integer,
    max_steps integer,
    INOUT place bigint,
    OUT heads bigint[],
    OUT groups bigint[]
)
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_start CONSTANT bigint := place;
    v_least CONSTANT bigint := -9223372036854775808;
    v_greatest CONSTANT bigint := 9223372036854775807;
    v_heads bigint[];
    v_groups bigint[];
    v_last bigint;
    v_steps integer;
BEGIN
    heads := '{}';
    groups := '{}';
    LOOP
        WITH RECURSIVE step (id, head, visible, number, found) AS (
            (
                SELECT
                    pgmq._group(q.headers), q.msg_id, q.vt <= as_of OR q.vt <= q.enqueued_at, 1, 0
                FROM pgmq.q_$queue AS q
                WHERE pgmq._group(q.headers) >= place
                ORDER BY pgmq._group(q.headers), q.msg_id
                LIMIT 1
            )
            UNION ALL
            SELECT n.id, n.head, n.visible, s.number + 1, s.found + s.visible::integer
            FROM step AS s
            CROSS JOIN LATERAL (
                SELECT
                    pgmq._group(q.headers) AS id,
                    q.msg_id AS head,
                    q.vt <= as_of OR q.vt <= q.enqueued_at AS visible
                FROM pgmq.q_$queue AS q
                WHERE pgmq._group(q.headers) > s.id
                ORDER BY pgmq._group(q.headers), q.msg_id
                LIMIT 1
            ) AS n
            WHERE s.number < max_steps AND s.found + s.visible::integer < wanted
        )
        SELECT
            coalesce(array_agg(s.head) FILTER (WHERE s.visible), '{}'),
            coalesce(array_agg(s.id) FILTER (WHERE s.visible), '{}'),
            max(s.id),
            count(*)
        INTO v_heads, v_groups, v_last, v_steps
        FROM step AS s
        WHERE place >= v_start OR s.id < v_start;   -- not past the start the second time around
        heads := heads || v_heads;
        groups := groups || v_groups;
        wanted := wanted - cardinality(v_heads);
        max_steps := max_steps - v_steps;

        -- The search has ended before it had to: the index has.
        EXIT WHEN wanted > 0 AND max_steps > 0 AND place < v_start;
        IF wanted > 0 AND max_steps > 0 THEN
            EXIT WHEN v_start = v_least;
            place := v_least;
        ELSE
            place := CASE WHEN v_last = v_greatest THEN v_least ELSE v_last + 1 END;
            EXIT;
        END IF;
    END LOOP;
END
$$;
