--# for max_in_flight_per_group
-- Return how many more messages of each of these groups may be leased. The caller has locked
-- messages of the groups held, which count already. Leases of open transactions are looked up
-- before those that are committed: one that is committed in between is counted twice, not missed.
CREATE OR REPLACE FUNCTION pgmq._fairroom_$queue(groups bigint[], held bigint[])
RETURNS integer[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_limit CONSTANT integer := max_in_flight_per_group$policy;
    v_others CONSTANT integer[] := (
        SELECT l.others FROM pgmq._group_leases('pgmq.q_$queue', groups) AS l
    );
    v_now CONSTANT timestamptz := clock_timestamp();
BEGIN
    RETURN ARRAY(
        SELECT greatest(
            v_limit - g.others
            - (SELECT count(*) FROM unnest(held) AS h (id) WHERE h.id = g.id)
            - (
                SELECT count(*)
                FROM (
                    SELECT FROM pgmq.q_$queue AS q
                    WHERE live$partitions(q) AND q.vt > q.enqueued_at
                        AND pgmq._group(q.headers) = g.id
                        AND (q.last_read_at IS NOT NULL) = true AND least(q.vt) > v_now
                    ORDER BY least(q.vt)
                    LIMIT v_limit
                ) AS l
            ),
            0
        )::integer
        FROM unnest(groups, v_others) WITH ORDINALITY AS g (id, others, place)
        ORDER BY g.place
    );
END
$$;
