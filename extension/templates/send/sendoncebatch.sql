--# for dedup
-- Like sendonce, for the messages of an array, in its order. Messages without a key are new. If
-- several have the same key, only the first of them in the array can be new.
CREATE OR REPLACE FUNCTION pgmq._sendoncebatch_$queue(
    msgs jsonb[],
    msg_headers jsonb[],
    visible_at timestamptz,
    needs_window boolean
)
RETURNS TABLE (msg_id bigint, is_new boolean)
LANGUAGE plpgsql VOLATILE ROWS 100
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
DECLARE
    v_keys text[];      -- each once, in an order: two batches must not wait for each other
    v_places bigint[];  -- where in the array a key is first
    v_known bigint[];   -- the message that was sent with it already
    v_new bigint[];     -- the places of the new messages, and these
    v_msg_ids bigint[];
    v_counts bigint[];  -- what counts in place of these: another sender may have been first
BEGIN
    ASSERT pgmq._may('INSERT', queue_name$policy, 'pgmq.q_$queue');
    --# if paused_sends
    PERFORM pgmq._raise_paused(queue_name$policy);
    --# end
    --# unless pending
    IF needs_window AND dedup_window$policy IS NULL THEN
        PERFORM pgmq._raise_no_window(queue_name$policy);
    END IF;
    --# end
    IF visible_at IS NULL THEN
        PERFORM pgmq._raise_null('delay', 'Give seconds or a time, or leave delay out.');
    END IF;
    --# if stream
    IF visible_at > clock_timestamp() THEN
        PERFORM pgmq._refuse_delay(queue_name$policy);
    END IF;
    --# end
    LOCK TABLE pgmq.q_$queue IN ROW EXCLUSIVE MODE;
    SELECT
        coalesce(pg_catalog.array_agg(k.dedup_key ORDER BY k.dedup_key), '{}'),
        coalesce(pg_catalog.array_agg(k.place ORDER BY k.dedup_key), '{}')
    INTO v_keys, v_places
    FROM (
        SELECT
            (u.header ->> 'x-pgmq-dedup-id'::text) COLLATE "C" AS dedup_key,
            min(u.place) AS place
        FROM pg_catalog.unnest(msg_headers) WITH ORDINALITY AS u (header, place)
        WHERE u.header ->> 'x-pgmq-dedup-id'::text IS NOT NULL
        GROUP BY 1
    ) AS k;
    v_known := pgmq._recall_$queue(v_keys);
    v_new := ARRAY(
        SELECT u.place
        FROM pg_catalog.unnest(msg_headers) WITH ORDINALITY AS u (header, place)
        LEFT JOIN unnest(v_keys, v_places, v_known) AS k (dedup_key, place, msg_id)
            ON k.dedup_key = u.header ->> 'x-pgmq-dedup-id'::text
        WHERE k.place IS NULL OR k.place = u.place AND k.msg_id IS NULL
        ORDER BY u.place
    );
    WITH sent AS (
        INSERT INTO pgmq.q_$queue AS q (
            enqueued_at,
            --# if leases
            vt,
            --# end
            message, headers
        )
        SELECT
            now(),
            --# if leases
            pgmq._visible_from(visible_at),
            --# end
            u.msg, u.header
        FROM unnest(msgs, msg_headers) WITH ORDINALITY AS u (msg, header, place)
        WHERE (u.place IN (SELECT n.place FROM pg_catalog.unnest(v_new) AS n (place))) IS TRUE
        ORDER BY u.place
        RETURNING q.msg_id
    )
    SELECT coalesce(pg_catalog.array_agg(s.msg_id), '{}') INTO v_msg_ids FROM sent AS s;
    v_counts := pgmq._remember_$queue(v_msg_ids);
    IF pgmq._chance(pg_catalog.cardinality(v_keys), 32) THEN
        PERFORM pgmq._upkeep(queue_name$policy, pg_catalog.cardinality(v_keys));
    END IF;
    --# if schedules
    IF pgmq._is_tick_due('pgmq.tick_due_$queue') THEN
        PERFORM pgmq._fire(queue_name$policy);
    END IF;
    --# end
    IF pg_catalog.cardinality(v_msg_ids) < pg_catalog.cardinality(v_new) THEN
        -- A trigger of users has kept some away. Their keys say which; without one, nothing does.
        v_known := pgmq._recall_$queue(v_keys);
        RETURN QUERY
            SELECT k.msg_id, coalesce(k.place = u.place AND k.msg_id = ANY (v_msg_ids), false)
            FROM pg_catalog.unnest(msg_headers) WITH ORDINALITY AS u (header, place)
            LEFT JOIN unnest(v_keys, v_places, v_known) AS k (dedup_key, place, msg_id)
                ON k.dedup_key = u.header ->> 'x-pgmq-dedup-id'::text
            ORDER BY u.place;
        RETURN;
    END IF;
    RETURN QUERY
        SELECT
            coalesce(k.msg_id, n.counts),
            coalesce(n.place = u.place AND n.counts = n.msg_id, false)
        FROM pg_catalog.unnest(msg_headers) WITH ORDINALITY AS u (header, place)
        LEFT JOIN unnest(v_keys, v_places, v_known) AS k (dedup_key, place, msg_id)
            ON k.dedup_key = u.header ->> 'x-pgmq-dedup-id'::text
        LEFT JOIN unnest(v_new, v_msg_ids, v_counts) AS n (place, msg_id, counts)
            ON n.place = coalesce(k.place, u.place)
        ORDER BY u.place;
END
$$;
