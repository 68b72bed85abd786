-- What has been leased and acknowledged leaves dead index entries at times that are yet to come,
-- which no mark can pass. Where these may be many, the search goes by steps, and ends after some:
-- the result is then the time up to which there is nothing.
CREATE OR REPLACE FUNCTION pgmq._next(queue_name text, until timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_name CONSTANT text := pgmq.format_table_name(queue_name, 'q');
    v_table regclass;
    v_suffix CONSTANT text := pgmq._suffix(queue_name);
    v_policy CONSTANT pgmq.policy := pgmq._policy_of(queue_name);
    v_has_dead CONSTANT boolean := coalesce(
        v_policy.max_receives::text, v_policy.message_ttl::text
    ) IS NOT NULL;
    v_began CONSTANT timestamptz := clock_timestamp();
    v_is_partitioned boolean;
    v_key name;
    v_first text;
    v_last text;
    v_ready bigint;
    v_parked timestamptz;
    v_place timestamptz := v_began;
    v_found timestamptz;
    v_next timestamptz;
BEGIN
    EXECUTE format('SELECT FROM pgmq.%I WHERE false', v_name);      -- locked first: see drop_queue
    v_table := format('pgmq.%I', v_name);
    SELECT c.relkind = 'p' INTO v_is_partitioned FROM pg_class AS c WHERE c.oid = v_table;
    IF v_is_partitioned THEN
        IF pgmq._keeps_snapshot() THEN
            PERFORM pgmq._check_snapshot(v_table);
        END IF;
        SELECT b.key, b.first, b.last INTO v_key, v_first, v_last
        FROM pgmq._bounds(v_table, v_suffix) AS b;
    END IF;
    v_ready := pgmq._id_mark(format('pgmq.%I', 'ready_mark_' || v_suffix)::regclass);
    v_parked := pgmq._parked_mark(format('pgmq.%I', 'parked_mark_' || v_suffix)::regclass);
    EXECUTE concat(
        'SELECT f.vt FROM (SELECT q.vt, q.read_ct, q.enqueued_at, q.headers',
        format(' FROM pgmq.%I AS q WHERE q.vt <= q.enqueued_at', v_name),
        ' AND q.msg_id >= (SELECT $1)',
        CASE WHEN v_is_partitioned THEN format(
            ' AND q.%I BETWEEN %s AND %s', v_key, v_first, v_last
        ) END,
        ' ORDER BY q.msg_id LIMIT 1000) AS f',
        CASE WHEN v_has_dead THEN
            ' WHERE NOT pgmq._is_dead(f.read_ct, f.enqueued_at, f.headers, $2, $3, $4)'
        END,
        ' LIMIT 1'
    )
    INTO v_next
    USING v_ready, v_began, v_policy.max_receives, v_policy.message_ttl;
    -- Reads must clear away so many before any other is seen.
    IF v_has_dead AND v_next IS NULL THEN
        IF cardinality(pgmq._visible(queue_name, v_began, 1000, null)) = 1000 THEN
            RETURN now();
        END IF;
    END IF;
    IF v_is_partitioned
        OR pg_relation_size(format('pgmq.%I', 'parked_idx_' || v_suffix)::regclass) <= 1000000
        OR pg_stat_get_dead_tuples(v_table) <= 20000
    THEN
        v_place := until;
    END IF;
    FOR step IN 0 .. 75 LOOP            -- 11 minutes
        IF v_place < until OR step = 0 THEN
            v_place := least(until, v_place + CASE
                WHEN step = 0 THEN interval '0'         -- what is due already
                WHEN step < 32 THEN interval '0.5 seconds'
                ELSE interval '15 seconds'
            END);
        END IF;
        EXECUTE concat(
            'SELECT f.vt FROM (SELECT q.vt, q.read_ct, q.enqueued_at, q.headers',
            format(' FROM pgmq.%I AS q WHERE q.vt > q.enqueued_at', v_name),
            ' AND q.vt >= (SELECT $1) AND q.vt <= (SELECT $2)',
            CASE WHEN v_is_partitioned THEN format(
                ' AND q.%I BETWEEN %s AND %s', v_key, v_first, v_last
            ) END,
            ' ORDER BY q.vt LIMIT 1000) AS f',
            CASE WHEN v_has_dead THEN
                ' WHERE NOT pgmq._is_dead(f.read_ct, f.enqueued_at, f.headers,'
                ' greatest(f.vt, $3), $4, $5)'
            END,
            ' LIMIT 1'
        )
        INTO v_found
        USING v_parked, v_place, v_began, v_policy.max_receives, v_policy.message_ttl;
        v_next := least(v_next, v_found);
        IF v_next <= v_place OR v_place = until THEN
            RETURN v_next;
        END IF;
        -- Some seconds at least, or whoever waits would ask in vain all the time.
        EXIT WHEN step > 7 AND clock_timestamp() > v_began + interval '3 milliseconds';
        v_parked := v_place;
    END LOOP;
    RETURN v_place;
END
$$;
COMMENT ON FUNCTION pgmq._next(text, timestamptz) IS
'When the next message is visible: the vt of the first ready one, or of the first parked one.

Null when there is none. Nobody is told of a time later than until. Messages that no read would return, for they have expired or were received too often, do not count; up to 1,000 are passed.';
