--# for fair
-- Lock as many of these messages as are wanted, in their order, of those that are still visible and
-- that nobody else holds; still containing the condition, too, for amend() may have come first.
-- Return their ids in that order.
CREATE OR REPLACE FUNCTION pgmq._fairlock_$queue(
    as_of timestamptz,
    msg_ids bigint[],
    quantity integer,
    condition jsonb
)
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    RETURN ARRAY(
        SELECT q.msg_id
        FROM unnest(msg_ids) WITH ORDINALITY AS c (id, place)
        INNER JOIN pgmq.q_$queue AS q ON c.id = q.msg_id
        WHERE lookup$partitions(q) AND (q.vt <= as_of OR q.vt <= q.enqueued_at)
            AND (condition IS NULL OR q.message @> condition)
        ORDER BY c.place
        LIMIT quantity
        FOR UPDATE OF q SKIP LOCKED
    );
END
$$;
