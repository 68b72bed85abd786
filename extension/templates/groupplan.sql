-- What may be taken of the groups with these heads: the visible messages that begin a group,
-- without a gap, up to quantity in all: group after group, or in rounds (rr: the first message of
-- every group, then the second ones; head: the first ones alone). A group whose first message is
-- another one by now gives nothing. Returns the messages in that order, and for each the head of
-- its group. With a name, only messages of the group of that name count. Nothing is locked.
CREATE OR REPLACE FUNCTION pgmq._groupplan_$queue(
    as_of timestamptz,
    heads bigint[],
    quantity integer,
    kind text,
    group_name text,
    indexed boolean,
    OUT msg_ids bigint[],
    OUT owners bigint[]
)
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_rounds CONSTANT boolean := kind IN ('rr', 'head');
    v_live bigint;
    -- How many messages of each group to look at: in rounds no more than will do, as a rule.
    v_depth bigint := CASE kind
        WHEN 'head' THEN 1
        WHEN 'rr' THEN ceil(quantity::numeric / cardinality(heads))
        ELSE quantity
    END;
    v_round bigint;
BEGIN
    IF indexed THEN
        v_live := pgmq._id_mark('pgmq.live_mark_$queue');
    END IF;
    LOOP
        IF indexed THEN
            SELECT
                array_agg(p.msg_id ORDER BY CASE WHEN v_rounds THEN p.round END, p.place, p.round),
                array_agg(p.head ORDER BY CASE WHEN v_rounds THEN p.round END, p.place, p.round),
                max(p.round)
            INTO msg_ids, owners, v_round
            FROM (
                SELECT h.head, h.place, m.msg_id, m.round
                FROM unnest(heads) WITH ORDINALITY AS h (head, place)
                INNER JOIN pgmq.q_$queue AS f ON h.head = f.msg_id
                CROSS JOIN LATERAL (
                    SELECT
                        n.msg_id,
                        row_number() OVER () AS round,
                        bool_and(n.visible AND n.msg_id >= h.head) OVER (
                            ROWS UNBOUNDED PRECEDING
                        ) AS free
                    FROM (
                        SELECT q.msg_id, q.vt <= as_of OR q.vt <= q.enqueued_at AS visible
                        FROM pgmq.q_$queue AS q
                        WHERE (pgmq._group(q.headers), q.msg_id) >= (
                                pgmq._group(f.headers), v_live
                            )
                            AND pgmq._group(q.headers) <= pgmq._group(f.headers)
                            AND (
                                group_name IS NULL
                                OR coalesce(q.headers ->> 'x-pgmq-group', '_default_fifo_group')
                                    = group_name
                            )
                        ORDER BY pgmq._group(q.headers), q.msg_id
                        LIMIT v_depth
                    ) AS n
                ) AS m
                WHERE m.free
                -- Group after group, what is behind the limit is not even fetched.
                LIMIT CASE WHEN NOT v_rounds THEN quantity END
            ) AS p;
        ELSE
            SELECT
                array_agg(p.msg_id ORDER BY CASE WHEN v_rounds THEN p.round END, p.place, p.round),
                array_agg(p.head ORDER BY CASE WHEN v_rounds THEN p.round END, p.place, p.round)
            INTO msg_ids, owners
            FROM (
                SELECT
                    g.head,
                    g.place,
                    q.msg_id,
                    row_number() OVER w AS round,
                    bool_and((q.vt <= as_of OR q.vt <= q.enqueued_at) AND q.msg_id >= g.head)
                        OVER w AS free
                FROM (
                    SELECT h.head, h.place, pgmq._group(f.headers) AS id
                    FROM unnest(heads) WITH ORDINALITY AS h (head, place)
                    INNER JOIN pgmq.q_$queue AS f ON h.head = f.msg_id
                ) AS g
                INNER JOIN pgmq.q_$queue AS q ON g.id = pgmq._group(q.headers)
                WHERE group_name IS NULL
                    OR coalesce(q.headers ->> 'x-pgmq-group', '_default_fifo_group') = group_name
                WINDOW w AS (PARTITION BY g.place ORDER BY q.msg_id)
            ) AS p
            WHERE p.free AND p.round <= v_depth;
        END IF;
        -- In rounds: again, deeper, if there may be more of a group and more is wanted.
        EXIT WHEN kind <> 'rr'
            OR cardinality(msg_ids) >= quantity
            OR v_round IS DISTINCT FROM v_depth;
        v_depth := 2 * v_depth;
    END LOOP;
    msg_ids := coalesce(msg_ids[:quantity], '{}');
    owners := coalesce(owners[:quantity], '{}');
END
$$;
