-- Lock the visible messages with the smallest msg_id and return their ids; where others hold some
-- of them, the next free ones. This is the way when parked messages are due or a condition is
-- given; what is ready and nothing else, read and pop take in one statement of their own.
CREATE OR REPLACE FUNCTION pgmq._claim_$queue(
    quantity integer,
    condition jsonb,
    rounds integer DEFAULT 5
)
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    -- Some more than are asked for, unless a condition may make each dear to find.
    v_wanted bigint := coalesce(quantity::bigint, 2147483647)
        + CASE WHEN condition IS NULL THEN 20 ELSE 0 END;
    v_look bigint[];
    v_tried bigint[] := '{}'::bigint[];
    v_locked bigint[];
    v_ids bigint[] := '{}'::bigint[];
    --# if max_receives or message_ttl
    v_dead bigint[];
    --# end
BEGIN
    -- Due and ready messages can only be locked together once they are merged. So where others hold
    -- some of these, look again, further each time: the work is a multiple of what they hold.
    FOR v_round IN 1..12 LOOP
        v_look := pgmq._visible_$queue(v_now, v_wanted, condition);
        IF pg_catalog.cardinality(v_tried) <> 0 THEN
            v_look := ARRAY(
                SELECT l.id FROM pg_catalog.unnest(v_look) AS l (id)
                EXCEPT
                SELECT t.id FROM pg_catalog.unnest(v_tried) AS t (id)
            );
        END IF;
        EXIT WHEN pg_catalog.cardinality(v_look) = 0;
        v_locked := ARRAY(
            SELECT q.msg_id
            FROM pgmq.q_$queue AS q
            WHERE $timely(q) AND q.msg_id = ANY (v_look)
                AND (q.vt <= v_now OR q.vt <= q.enqueued_at)
            ORDER BY q.msg_id
            LIMIT quantity - pg_catalog.cardinality(v_ids)
            FOR UPDATE SKIP LOCKED
        );
        v_ids := pg_catalog.array_cat(v_ids, v_locked);
        EXIT WHEN pg_catalog.cardinality(v_ids) = quantity
            OR pg_catalog.cardinality(v_locked) = pg_catalog.cardinality(v_look);
        v_tried := pg_catalog.array_cat(v_tried, v_look);
        v_wanted := 6 * v_wanted;
    END LOOP;

    --# if max_receives or message_ttl
    -- Where others must not be handed out, what is left may be less than there is; nothing, when
    -- more than a call clears away lies in front.
    v_dead := pgmq._bury_$queue(v_ids);
    IF pg_catalog.cardinality(v_dead) <> 0 THEN
        v_ids := ARRAY(
            SELECT u.id FROM pg_catalog.unnest(v_ids) AS u (id)
            EXCEPT
            SELECT d.id FROM pg_catalog.unnest(v_dead) AS d (id)
        );
        IF pg_catalog.cardinality(v_ids) = 0 AND rounds > 1 THEN
            RETURN pgmq._claim_$queue(quantity, condition, rounds - 1);
        END IF;
        RETURN v_ids;
    END IF;
    --# end
    -- The polls of an idle queue keep its marks up too, and find a straggler as soon as a sweep
    -- is due.
    IF pg_catalog.cardinality(v_ids) = 0
        AND (
            pgmq._chance(1, 8)
            OR pgmq._parked_mark('pgmq.parked_mark_$queue') > v_now     -- the clock was set back
            OR pgmq._microseconds(v_now)
                >= coalesce(pg_catalog.pg_sequence_last_value('pgmq.sweep_due_$queue'), 0)
        )
        AND pgmq._advance_$queue()
    THEN
        RETURN pgmq._claim_$queue(quantity, condition);
    END IF;
    RETURN v_ids;
END
$$;
