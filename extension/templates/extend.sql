-- Keep leased messages for some more seconds from now.
CREATE OR REPLACE FUNCTION pgmq._extend_$queue(
    msg_ids bigint[],
    read_cts integer[],
    seconds integer
)
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    ASSERT pgmq._may('UPDATE', queue_name$policy, 'pgmq.q_$queue');
    PERFORM pgmq._check_leases(msg_ids, read_cts);
    IF seconds IS NULL THEN
        PERFORM pgmq._raise_null('vt', 'Give the number of seconds to keep the message for.');
    END IF;
    --# if partitioned
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_$queue');
    END IF;
    --# end
    RETURN QUERY
        UPDATE pgmq.q_$queue AS m
        SET vt = greatest(
            clock_timestamp() + pg_catalog.make_interval(secs => seconds),
            clock_timestamp(),
            m.enqueued_at + interval '1 microsecond'
        )
        WHERE $timely(m) AND m.msg_id = ANY (msg_ids) AND m.read_ct > 0
            AND ((m.msg_id, m.read_ct) IN (
                SELECT l.id, l.receipt FROM unnest(msg_ids, read_cts) AS l (id, receipt)
            )) IS TRUE
        RETURNING m.msg_id;
END
$$;
