-- Remove the visible messages with the smallest msg_id, and return them in that order (see read).
CREATE OR REPLACE FUNCTION pgmq._pop_$queue(quantity integer)
RETURNS SETOF pgmq."_message_$queue"
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    --# if max_receives or message_ttl
    v_path CONSTANT text := pg_catalog.current_setting('search_path'::text);
    --# end
    --# unless partitioned
    v_now timestamptz;
    --# if message_ttl
    v_count bigint;
    --# end
    --# end
    v_ids bigint[] := '{}'::bigint[];
    --# if by_time
    v_top timestamptz;
    --# end
BEGIN
    ASSERT pgmq._may('DELETE', queue_name$policy, 'pgmq.q_$queue');
    IF quantity < 0 THEN
        PERFORM pgmq._check_read(0, quantity);
    END IF;
    --# if partitioned
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_$queue');
    END IF;
    --# end
    IF pgmq._chance(quantity, 32) THEN
        PERFORM FROM pgmq.q_$queue WHERE false;     -- locked first: see drop_queue
        PERFORM pgmq._advance_$queue();
        --# if archive_retention or dedup_window
        PERFORM pgmq._upkeep_$queue(quantity);
        --# end
    END IF;
    --# unless partitioned
    v_now := clock_timestamp();
    RETURN QUERY
        DELETE FROM pgmq.q_$queue AS m
        WHERE m.msg_id = ANY (ARRAY(
            SELECT q.msg_id
            FROM pgmq.q_$queue AS q
            WHERE q.vt <= q.enqueued_at
                AND q.msg_id >= (SELECT pgmq._id_mark('pgmq.ready_mark_$queue'))
                AND NOT EXISTS (
                    SELECT FROM pgmq.q_$queue AS d
                    WHERE d.vt > d.enqueued_at AND d.vt <= v_now
                        AND d.vt >= (SELECT pgmq._parked_mark('pgmq.parked_mark_$queue'))
                )
            ORDER BY q.msg_id
            LIMIT quantity
            FOR UPDATE SKIP LOCKED
        ))
            --# if message_ttl
            AND pgmq._expires_at(m.enqueued_at, m.headers, message_ttl$policy) > v_now
            --# end
        RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers;
    IF FOUND THEN
        --# if message_ttl
        GET DIAGNOSTICS v_count = ROW_COUNT;
        IF v_count < quantity THEN      -- expired ones may be in front
            PERFORM pgmq._bury_$queue(
                pgmq._visible_$queue(v_now, least(quantity, 200), null)
            );
            PERFORM pgmq._restore_search_path(v_path);
        END IF;
        --# end
        RETURN;
    END IF;
    --# end

    --# if partitioned
    --# unless message_ttl
    v_ids := pgmq._front_$queue(quantity);
    --# end
    --# if by_time
    v_top := (SELECT $front WHERE v_ids IS NOT NULL);
    --# end
    --# end
    IF pg_catalog.cardinality(v_ids) = 0 THEN
        v_ids := pgmq._claim_$queue(quantity, null);
        --# if by_time
        v_top := (SELECT $top WHERE v_ids IS NOT NULL);
        --# end
    END IF;
    --# if max_receives or message_ttl
    PERFORM pgmq._restore_search_path(v_path);      -- triggers on dead letters
    --# end
    IF pg_catalog.cardinality(v_ids) = 0 THEN
        RETURN;
    END IF;
    RETURN QUERY
        --# if partitioned
        WITH m AS (
        --# end
        DELETE FROM pgmq.q_$queue AS m
        WHERE m.msg_id = ANY (v_ids)
            --# if by_time
            AND m.enqueued_at BETWEEN $first AND v_top
            --# end
        RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers
        --# if partitioned
        ) SELECT m.* FROM m ORDER BY m.msg_id
        --# end
        ;
    --# if partitioned
    IF pgmq._chance(quantity, 32) THEN
        PERFORM pgmq._tend_$queue();
    END IF;
    --# end
END
$$;
