-- What may be taken of the groups with these heads: the visible messages that begin a group,
-- without a gap, up to quantity in all: group after group, or in rounds (rr: the first message of
-- every group, then the second ones; head: the first ones alone). A group whose first message is
-- another one by now gives nothing. Returns the messages in that order, and for each the head of
-- its group. With a name, only messages of the group of that name count. Without the index, the
-- oldest messages are read until there is enough among them. Nothing is locked.
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
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_rounds CONSTANT boolean := kind IN ('rr', 'head');
    -- How many messages of each group to look at: in rounds no more than will do, as a rule.
    v_depth bigint := CASE kind
        WHEN 'head' THEN 1
        WHEN 'rr' THEN ceil(quantity::numeric / cardinality(heads))
        ELSE quantity
    END;
    v_live bigint;
    v_round bigint;
    v_limit bigint := 1000;
    v_count bigint;
BEGIN
    WHILE NOT indexed LOOP
        SELECT
            array_agg(p.msg_id ORDER BY CASE WHEN v_rounds THEN p.round END, p.place, p.round)
            FILTER (WHERE p.free),
            array_agg(p.head ORDER BY CASE WHEN v_rounds THEN p.round END, p.place, p.round)
            FILTER (WHERE p.free),
            count(*)
        INTO msg_ids, owners, v_count
        FROM (
            SELECT
                m.msg_id,
                m.round,
                h.head,
                h.place,
                h.head IS NOT NULL AND m.free AND (m.round = 1 OR kind <> 'head') AS free
            FROM (
                SELECT
                    f.msg_id,
                    first_value(f.msg_id) OVER w AS head,
                    row_number() OVER w AS round,
                    bool_and(f.visible) OVER w AS free
                FROM (
                    SELECT
                        q.msg_id,
                        pgmq._group(q.headers) AS id,
                        q.vt <= as_of OR q.vt <= q.enqueued_at AS visible
                    FROM pgmq.q_$queue AS q
                    WHERE $live(q) AND (
                            group_name IS NULL
                            OR coalesce(q.headers ->> 'x-pgmq-group', '_default_fifo_group')
                                = group_name
                        )
                    ORDER BY q.msg_id
                    LIMIT v_limit
                ) AS f
                WINDOW w AS (PARTITION BY f.id ORDER BY f.msg_id)
            ) AS m
            LEFT JOIN unnest(heads) WITH ORDINALITY AS h (head, place) ON m.head = h.head
        ) AS p;
        EXIT WHEN v_count < v_limit
            OR cardinality(msg_ids) >= CASE kind
                WHEN 'head' THEN cardinality(heads) ELSE quantity
            END;
        v_limit := 8 * v_limit;
    END LOOP;

    WHILE indexed LOOP
        v_live := pgmq._id_mark('pgmq.live_mark_$queue');
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
                    WHERE $live(q)
                        AND (pgmq._group(q.headers), q.msg_id + 0)
                            >= (pgmq._group(f.headers), v_live)
                        AND pgmq._group(q.headers) <= pgmq._group(f.headers)
                        AND (
                            group_name IS NULL
                            OR coalesce(q.headers ->> 'x-pgmq-group', '_default_fifo_group')
                                = group_name
                        )
                    ORDER BY pgmq._group(q.headers), q.msg_id + 0
                    LIMIT v_depth
                ) AS n
            ) AS m
            WHERE $live(f) AND m.free
            -- Group after group, what is behind the limit is not even fetched.
            LIMIT CASE WHEN NOT v_rounds THEN quantity END
        ) AS p;
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
