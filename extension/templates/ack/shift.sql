--# for leases
-- Extend leases, or give messages back, and return the ids of the changed messages: those whose
-- lease, the pair (msg_id, read_ct), is still the caller's. A message that is given back keeps the
-- error in its headers. Every read increments read_ct; a message that was never read has no lease.
-- By time, messages that are not where the marks say that there are any are looked up in the other
-- partitions, too. (IS TRUE keeps the list of leases a hash table to look up: as a join, it could
-- cost a scan of the queue.)
CREATE OR REPLACE FUNCTION pgmq._shift_$queue(
    msg_ids bigint[],
    read_cts integer[],
    seconds integer,
    gives_back boolean,
    error text
)
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
--# if by_time
DECLARE
    v_beyond boolean := false;
    v_count integer;
    v_missing integer := pg_catalog.cardinality(msg_ids);
--# end
BEGIN
    --# if partitioned
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_$queue');
    END IF;
    --# end
    --# if by_time
    LOOP
    --# end
    RETURN QUERY
        UPDATE pgmq.q_$queue AS m
        SET vt = pgmq._parked_until(
                clock_timestamp() + pg_catalog.make_interval(secs => coalesce(
                    seconds,
                    --# if retry_delay
                    pgmq._retry_after(
                        m.read_ct, retry_delay$policy, retry_delay_max$policy, retry_jitter$policy
                    ),
                    --# end
                    0
                )),
                m.enqueued_at
            ),
            -- The lease ends: admit and _free_slot_at_once go by this column.
            last_read_at = CASE WHEN NOT gives_back THEN m.last_read_at END,
            headers = pgmq._with_error(m.headers, error)
        WHERE m.msg_id = ANY (msg_ids) AND m.read_ct > 0
            --# if by_time
            AND (lookup$partitions(m)) <> v_beyond
            --# end
            AND ((m.msg_id, m.read_ct) IN (
                SELECT l.id, l.receipt FROM unnest(msg_ids, read_cts) AS l (id, receipt)
            )) IS TRUE
            AND pgmq._may('UPDATE', queue_name$policy, 'pgmq.q_$queue')
        RETURNING m.msg_id;
    --# if by_time
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_missing := v_missing - v_count;
    EXIT WHEN v_missing = 0 OR v_beyond;
    v_beyond := true;
    END LOOP;
    --# end
END
$$;
