--# for fair
-- Return the groups whose turn is next, of those with a visible message: up to so many, from the
-- given place (null: where the last call left off) downwards, past the end and around to the place
-- again. Also return the place behind the last of them, and whether these are all such groups.
-- Nothing is locked.
--
-- Groups are in the order of their numbers, which are hashes. The search steps from group to group
-- in the index of ready messages. It goes down, so that it meets each group at its newest message:
-- consumed ones leave their dead entries at the other end. A group without ready messages is found
-- by the first due ones of the queue. Only where these are very many does the search also step
-- through the index of parked messages, up to 1,000 groups a call, for most may have nothing due.
CREATE OR REPLACE FUNCTION pgmq._fairgroups_$queue(
    as_of timestamptz,
    wanted integer,
    INOUT place bigint,
    OUT groups bigint[],
    OUT complete boolean
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_least CONSTANT bigint := -9223372036854775808;
    v_greatest CONSTANT bigint := 9223372036854775807;
    v_start bigint;
    v_end bigint := v_least;
    v_breadth CONSTANT bigint := wanted + 20::bigint;
    v_budget integer := 1000;
    v_first bigint[];           -- groups of the first due messages
    v_due bigint[];
    v_is_known boolean;         -- whether these are all groups with due messages
    v_low bigint;               -- down to where the groups with due messages are known
    v_found integer;
    v_steps integer;
BEGIN
    --# if partitioned
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_$queue');
    END IF;
    --# end
    SELECT coalesce(array_agg(DISTINCT f.id), '{}'), count(*) < v_breadth INTO v_first, v_is_known
    FROM (
        SELECT pgmq._group(q.headers) AS id
        FROM pgmq.q_$queue AS q
        WHERE live$partitions(q) AND pgmq._may('UPDATE', queue_name$policy, 'pgmq.q_$queue')
            AND q.vt > q.enqueued_at AND q.vt <= as_of
            AND q.vt >= (SELECT pgmq._parked_mark('pgmq.parked_mark_$queue'))
        ORDER BY q.vt
        LIMIT v_breadth
    ) AS f;
    -- Not earlier: the statement has locked the table. See drop_queue.
    v_start := coalesce(place, pg_sequence_last_value('pgmq.turn_$queue'), v_greatest);
    place := v_start;
    groups := '{}';
    complete := false;
    -- Each round is a part of the way: down to the end, and from the other end to the start.
    LOOP
        v_low := v_end;
        v_due := v_first;
        IF NOT v_is_known THEN
            WITH RECURSIVE step (id, next, is_due, number, found) AS (
                SELECT null::bigint, place, false, 0, 0
                UNION ALL
                SELECT
                    n.id, greatest(n.id, -9223372036854775807) - 1, n.is_due, s.number + 1,
                    s.found + n.is_due::integer
                FROM step AS s
                CROSS JOIN LATERAL (
                    SELECT
                        g.id,
                        EXISTS (
                            SELECT FROM pgmq.q_$queue AS d
                            WHERE live$partitions(d) AND d.vt > d.enqueued_at
                                AND pgmq._group(d.headers) = g.id
                                AND (d.last_read_at IS NOT NULL) = l.is_read
                                AND least(d.vt) >= (
                                    SELECT pgmq._parked_mark('pgmq.parked_mark_$queue')
                                )
                                AND least(d.vt) <= as_of
                        ) AS is_due
                    FROM (
                        SELECT pgmq._group(q.headers) AS id
                        FROM pgmq.q_$queue AS q
                        WHERE live$partitions(q) AND q.vt > q.enqueued_at
                            AND pgmq._group(q.headers) BETWEEN v_end AND s.next
                        ORDER BY
                            pgmq._group(q.headers) DESC, (q.last_read_at IS NOT NULL) DESC,
                            least(q.vt) DESC
                        LIMIT 1
                    ) AS g
                    CROSS JOIN (VALUES (false), (true)) AS l (is_read)
                    ORDER BY is_due DESC
                    LIMIT 1
                ) AS n
                WHERE s.number < v_budget AND s.found < wanted
            )
            SELECT
                coalesce(array_agg(s.id) FILTER (WHERE s.is_due), '{}'), max(s.found),
                max(s.number), min(s.id)
            INTO v_due, v_found, v_steps, v_low
            FROM step AS s;
            IF v_found < wanted AND v_steps < v_budget THEN
                v_low := v_end;
            END IF;
            v_budget := v_budget - v_steps;
        END IF;
        WITH RECURSIVE step (id, next, number) AS (
            SELECT null::bigint, place, cardinality(groups)
            UNION ALL
            SELECT n.id, greatest(n.id, -9223372036854775807) - 1, s.number + 1
            FROM step AS s
            CROSS JOIN LATERAL (
                SELECT pgmq._group(q.headers) AS id
                FROM pgmq.q_$queue AS q
                WHERE live$partitions(q) AND q.vt <= q.enqueued_at
                    AND pgmq._group(q.headers) BETWEEN v_low AND s.next
                    AND q.msg_id + 0 >= (SELECT pgmq._id_mark('pgmq.ready_mark_$queue'))
                ORDER BY pgmq._group(q.headers) DESC, (q.msg_id + 0) DESC
                LIMIT 1
            ) AS n
            WHERE s.number < wanted
        )
        SELECT groups || coalesce(array_agg(f.id ORDER BY f.id DESC), '{}') INTO groups
        FROM (
            SELECT s.id FROM step AS s WHERE s.id IS NOT NULL
            UNION
            SELECT d FROM unnest(v_due) AS d WHERE d BETWEEN v_low AND place
        ) AS f;
        IF cardinality(groups) >= wanted THEN
            groups := groups[:wanted];
            v_low := groups[wanted];
        END IF;
        place := CASE v_low WHEN v_least THEN v_greatest ELSE v_low - 1 END;
        EXIT WHEN cardinality(groups) >= wanted OR v_low > v_end;
        complete := v_end > v_least OR v_start = v_greatest;
        EXIT WHEN complete OR v_budget <= 0;
        -- What is left lies above the start.
        v_end := v_start + 1;
    END LOOP;
END
$$;
