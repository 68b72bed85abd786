CREATE OR REPLACE FUNCTION pgmq._maintain(queue_name text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_step CONSTANT integer := 1000;
    v_queue CONSTANT text := pgmq.format_table_name(queue_name, 'q');
    v_policy CONSTANT pgmq.policy := pgmq._policy_of(queue_name);
    v_last bigint := '-9223372036854775808'::bigint;
    v_ids bigint[];
    v_count bigint;
    v_sum bigint := 0;
    v_is_archive boolean;
    v_is_stream CONSTANT boolean := pgmq._is_stream(pgmq._queue_table(queue_name));
BEGIN
    PERFORM pgmq._lock_table_first(queue_name);
    IF NOT v_is_stream THEN
        EXECUTE format('SELECT pgmq.%I(true)', pgmq._function_name('advance', queue_name));
    END IF;
    IF v_policy.max_receives IS NOT NULL OR v_policy.message_ttl IS NOT NULL THEN
        LOOP
            EXECUTE format(
                'SELECT ARRAY(SELECT q.msg_id FROM pgmq.%I AS q WHERE q.msg_id > $1'
                ' ORDER BY q.msg_id LIMIT $2)',
                v_queue
            ) INTO v_ids USING v_last, v_step;
            EXECUTE format(
                'SELECT cardinality(pgmq.%I($1))', pgmq._function_name('bury', queue_name)
            ) INTO v_count USING v_ids;
            v_sum := v_sum + v_count;
            EXIT WHEN cardinality(v_ids) < v_step;
            v_last := v_ids[v_step];
        END LOOP;
    END IF;
    IF v_policy.archive_retention IS NOT NULL OR v_policy.dedup_window IS NOT NULL
        OR pgmq._is_pending(v_policy)
    THEN
        LOOP
            EXECUTE format('SELECT pgmq.%I($1)', pgmq._function_name('forget', queue_name))
            INTO v_count USING v_step;
            v_sum := v_sum + v_count;
            EXIT WHEN v_count = 0;
        END LOOP;
        IF pgmq._is_pending(v_policy) THEN
            EXECUTE format('SELECT pgmq.%I(null)', pgmq._function_name('forget', queue_name))
            INTO v_count;
            v_sum := v_sum + v_count;
        END IF;
    END IF;
    -- A dump of an extension that was upgraded lacks grants on ctid.
    IF pg_has_role(pgmq._owner(pgmq._queue_table(queue_name)), 'USAGE') THEN
        PERFORM pgmq._show_state(queue_name);
        -- Not while calls may be under way that began before an upgrade from 2.0.0.
        IF pgmq._type_of_2_0_0(queue_name) IS NOT NULL
            AND pgmq._finish_upgrade(queue_name, '100ms')
            AND NOT EXISTS (
                SELECT FROM pg_locks AS l
                WHERE l.relation = pgmq._queue_table(_maintain.queue_name)
                    AND l.pid IS DISTINCT FROM pg_backend_pid()
            )
        THEN
            PERFORM pgmq._shed(queue_name);
        END IF;
    END IF;
    FOREACH v_is_archive IN ARRAY CASE WHEN v_is_stream THEN '{f}' ELSE '{f,t}' END::boolean[] LOOP
        v_sum := v_sum + pgmq._maintain_partitions(queue_name, v_is_archive, thorough => true);
    END LOOP;
    IF v_is_stream THEN
        -- Lanes pass over what is not theirs; the next call may then drop more segments.
        EXECUTE format('SELECT pgmq.%I()', pgmq._function_name('keep', queue_name));
    END IF;
    IF pgmq._enabled('fire', queue_name) IS NOT NULL THEN
        FOR v_round IN 1..100 LOOP
            EXIT WHEN pgmq._fire(queue_name) < 100;     -- as many as a call sends
        END LOOP;
    END IF;
    RETURN v_sum;
END
$$;
COMMENT ON FUNCTION pgmq._maintain(text) IS 'All the upkeep of one queue; returns how many rows it moved or removed.';
