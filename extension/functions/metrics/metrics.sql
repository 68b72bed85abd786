CREATE OR REPLACE FUNCTION pgmq.metrics(queue_name text)
RETURNS pgmq.metrics_result
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_exact CONSTANT bigint := 10000;
    v_table regclass;
    v_ready bigint;
    v_parked bigint;
    v_due bigint;
    v_length bigint;
    v_visible bigint;
    v_oldest timestamptz;
    v_newest timestamptz;
BEGIN
    PERFORM pgmq._compiled('read', queue_name);     -- an unknown queue is an error
    v_table := format('pgmq.%I', pgmq.format_table_name(queue_name, 'q'))::regclass;

    -- Ready and parked messages are counted from the live ends of their indexes, up to one more
    -- than is exact.
    EXECUTE format(
        $sql$
        SELECT
            count(*) FILTER (WHERE m.vt <= m.enqueued_at),
            count(*) FILTER (WHERE m.vt > m.enqueued_at),
            count(*) FILTER (WHERE m.vt > m.enqueued_at AND m.vt <= clock_timestamp()),
            min(m.enqueued_at),
            max(m.enqueued_at)
        FROM (
            (
                SELECT q.enqueued_at, q.vt FROM %1$s AS q
                WHERE q.vt <= q.enqueued_at AND q.msg_id >= $2
                ORDER BY q.msg_id LIMIT $1 + 1
            )
            UNION ALL
            (
                SELECT q.enqueued_at, q.vt FROM %1$s AS q
                WHERE q.vt > q.enqueued_at AND q.vt >= $3
                ORDER BY q.vt LIMIT $1 + 1
            )
        ) AS m
        $sql$,
        v_table
    ) INTO v_ready, v_parked, v_due, v_oldest, v_newest
    USING v_exact,
        pgmq._id_mark(format('pgmq.%I', 'ready_mark_' || pgmq._suffix(queue_name))::regclass),
        pgmq._parked_mark(format('pgmq.%I', 'parked_mark_' || pgmq._suffix(queue_name))::regclass);
    v_length := v_ready + v_parked;
    v_visible := v_ready + v_due;

    IF v_ready > v_exact OR v_parked > v_exact THEN
        v_length := greatest(v_length, pgmq._estimated_rows(v_table));
        IF v_parked <= v_exact THEN
            v_visible := v_length - (v_parked - v_due);
        ELSIF v_ready > v_exact OR v_due > v_exact THEN
            -- The share of visible messages that the last ANALYZE saw.
            v_visible := greatest(v_visible, least(v_length, pgmq._planned_rows(
                format('SELECT FROM %s AS q WHERE q.vt <= %L', v_table, clock_timestamp())
            )));
        END IF;
        EXECUTE format(
            'SELECT q.enqueued_at FROM %s AS q ORDER BY q.msg_id DESC LIMIT 1', v_table
        ) INTO v_newest;
    END IF;

    RETURN ROW(
        queue_name,
        v_length,
        extract(epoch FROM now() - v_newest)::integer,
        extract(epoch FROM now() - v_oldest)::integer,
        coalesce(pg_sequence_last_value(pg_get_serial_sequence(v_table::text, 'msg_id')), 0),
        now(),
        v_visible,
        null
    )::pgmq.metrics_result;
END
$$;
COMMENT ON FUNCTION pgmq.metrics(text) IS
'What a queue holds: queue_length (all messages) and queue_visible_length are exact up to 10,000 ready and 10,000 parked messages and estimated from statistics beyond, so that the cost does not grow with the queue; ages in seconds, null when it is empty; total_messages is the last msg_id drawn. Needs SELECT on the queue''s table and sequences.';

CREATE OR REPLACE FUNCTION pgmq._planned_rows(query text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_plan json;
BEGIN
    EXECUTE format('EXPLAIN (FORMAT JSON) %s', query) INTO v_plan;
    RETURN (v_plan -> 0 -> 'Plan' ->> 'Plan Rows')::bigint;
END
$$;
COMMENT ON FUNCTION pgmq._planned_rows(text) IS 'How many rows the planner expects of a query.';

CREATE OR REPLACE FUNCTION pgmq._estimated_rows(relation regclass)
RETURNS bigint
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    -- The counters of the statistics system follow every commit but are lost in a crash; the
    -- planner's figure lasts.
    SELECT CASE
        WHEN pg_stat_get_live_tuples(relation) > 0 THEN pg_stat_get_live_tuples(relation)
        ELSE pgmq._planned_rows(format('SELECT FROM %s', relation))
    END
$$;
COMMENT ON FUNCTION pgmq._estimated_rows(regclass) IS 'How many live rows the statistics know of.';
