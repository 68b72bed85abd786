-- Return leased messages: visible again after some seconds, the error kept in the headers.
CREATE OR REPLACE FUNCTION pgmq._nack_$queue(
    msg_ids bigint[],
    read_cts integer[],
    seconds integer,
    error text
)
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    ASSERT pgmq._may('UPDATE', queue_name$policy, 'pgmq.q_$queue');
    PERFORM pgmq._check_leases(msg_ids, read_cts);
    --# if partitioned
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_$queue');
    END IF;
    --# end
    RETURN QUERY
        UPDATE pgmq.q_$queue AS m
        SET vt = greatest(
                clock_timestamp() + pg_catalog.make_interval(secs => coalesce(
                    seconds,
                    --# if retry_delay
                    pgmq._retry_after(
                        m.read_ct, retry_delay$policy, retry_delay_max$policy, retry_jitter$policy
                    ),
                    --# end
                    0
                )),
                clock_timestamp(),
                m.enqueued_at + interval '1 microsecond'
            ),
            -- It is no lease any more: see admit, and _free_slot_at_once.
            last_read_at = null,
            headers = CASE
                WHEN error IS NULL THEN m.headers
                ELSE pgmq._headers(m.headers)
                    || pg_catalog.jsonb_build_object('x-pgmq-error', error)
            END
        WHERE $timely(m) AND m.msg_id = ANY (msg_ids) AND m.read_ct > 0
            AND ((m.msg_id, m.read_ct) IN (
                SELECT l.id, l.receipt FROM unnest(msg_ids, read_cts) AS l (id, receipt)
            )) IS TRUE
        RETURNING m.msg_id;
END
$$;
