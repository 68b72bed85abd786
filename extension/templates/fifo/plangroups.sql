--# for fifo
-- Return the visible messages that begin the groups with these heads, without a gap, up to depth of
-- each group and no more than quantity: group after group, or in rounds (the first message of every
-- group, then the second ones). Also return the head of each message's group, and how deep the
-- deepest message is. A group gives nothing if its first message is another one by now. With a
-- name, only messages of the group of that name count.
--
-- Unless to_lock is null, so many heads are locked first, of those that are still visible and that
-- nobody else holds. They are returned as held, and only their groups count. If they are as many as
-- expected, the messages that nobody else holds are locked, too, and returned as locked. Each of
-- the three steps is a statement with a snapshot of its own; _fifo_claim() says why.
CREATE OR REPLACE FUNCTION pgmq._plangroups_$queue(
    as_of timestamptz,
    heads bigint[],
    to_lock integer,
    quantity integer,
    in_rounds boolean,
    depth bigint,
    group_name text,
    OUT held bigint[],
    OUT msg_ids bigint[],
    OUT owners bigint[],
    OUT locked bigint[],
    OUT deepest bigint
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    held := heads;
    IF to_lock IS NOT NULL THEN
        held := ARRAY(
            SELECT q.msg_id
            FROM pgmq.q_$queue AS q
            WHERE lookup$partitions(q) AND q.msg_id = ANY (heads)
                AND (q.vt <= as_of OR q.vt <= q.enqueued_at)
            ORDER BY q.msg_id
            LIMIT to_lock
            FOR UPDATE SKIP LOCKED
        );
    END IF;
    SELECT
        coalesce(
            array_agg(p.msg_id ORDER BY CASE WHEN in_rounds THEN p.round END, p.place, p.round),
            '{}'
        ),
        coalesce(
            array_agg(p.head ORDER BY CASE WHEN in_rounds THEN p.round END, p.place, p.round), '{}'
        ),
        max(p.round)
    INTO msg_ids, owners, deepest
    FROM (
        SELECT h.head, h.place, m.msg_id, m.round
        FROM unnest(held) WITH ORDINALITY AS h (head, place)
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
                WHERE live$partitions(q)
                    AND (pgmq._group(q.headers), q.msg_id + 0) >= (
                        pgmq._group(f.headers), (SELECT pgmq._id_mark('pgmq.live_mark_$queue'))
                    )
                    AND pgmq._group(q.headers) <= pgmq._group(f.headers)
                    AND (
                        group_name IS NULL
                        OR coalesce(q.headers ->> 'x-pgmq-group', '_default_fifo_group')
                            = group_name
                    )
                ORDER BY pgmq._group(q.headers), q.msg_id + 0
                LIMIT depth
            ) AS n
        ) AS m
        WHERE live$partitions(f) AND m.free
        -- Group after group, messages behind the limit need not even be fetched.
        LIMIT CASE WHEN NOT in_rounds THEN quantity END
    ) AS p;
    msg_ids := msg_ids[:quantity];
    owners := owners[:quantity];
    IF msg_ids = owners AND to_lock IS NOT NULL THEN
        locked := msg_ids;      -- heads alone
    ELSIF cardinality(held) = to_lock THEN
        locked := ARRAY(
            SELECT q.msg_id
            FROM pgmq.q_$queue AS q
            WHERE lookup$partitions(q) AND q.msg_id = ANY (msg_ids)
                AND (q.vt <= as_of OR q.vt <= q.enqueued_at)
            ORDER BY q.msg_id
            FOR UPDATE SKIP LOCKED
        );
    END IF;
END
$$;
