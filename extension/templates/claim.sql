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
    v_look bigint[] := pgmq._visible_$queue(v_now, quantity, condition);
    v_ready bigint := pgmq._id_mark('pgmq.ready_mark_$queue');
    v_parked timestamptz := pgmq._parked_mark('pgmq.parked_mark_$queue');
    v_ids bigint[] := '{}'::bigint[];
    --# if max_receives or message_ttl
    v_dead bigint[];
    --# end
BEGIN
    IF pg_catalog.cardinality(v_look) <> 0 THEN
        v_ids := ARRAY(
            SELECT q.msg_id
            FROM pgmq.q_$queue AS q
            WHERE $timely(q) AND q.msg_id = ANY (v_look)
                AND (q.vt <= v_now OR q.vt <= q.enqueued_at)
            ORDER BY q.msg_id
            FOR UPDATE SKIP LOCKED
        );
    END IF;
    IF pg_catalog.cardinality(v_ids) < pg_catalog.cardinality(v_look) THEN
        v_ids := pg_catalog.array_cat(v_ids, ARRAY(
            SELECT q.msg_id
            FROM pgmq.q_$queue AS q
            WHERE $live(q) AND q.vt > q.enqueued_at AND q.vt BETWEEN v_parked AND v_now
                AND (condition IS NULL OR q.message @> condition)
                AND q.msg_id <> ALL (v_ids)
            ORDER BY q.vt
            LIMIT pg_catalog.cardinality(v_look) - pg_catalog.cardinality(v_ids)
            FOR UPDATE SKIP LOCKED
        ));
        v_ids := pg_catalog.array_cat(v_ids, ARRAY(
            SELECT q.msg_id
            FROM pgmq.q_$queue AS q
            WHERE $live(q) AND q.vt <= q.enqueued_at AND q.msg_id >= v_ready
                AND (condition IS NULL OR q.message @> condition)
                AND q.msg_id <> ALL (v_ids)
            ORDER BY q.msg_id
            LIMIT pg_catalog.cardinality(v_look) - pg_catalog.cardinality(v_ids)
            FOR UPDATE SKIP LOCKED
        ));
    END IF;

    --# if max_receives or message_ttl
    -- Where others must not be handed out, what is left may be less than there is; nothing, when
    -- more than a call clears away lies in front.
    v_dead := pgmq._bury_$queue(v_ids);
    IF pg_catalog.cardinality(v_dead) <> 0 THEN
        v_ids := ARRAY(
            SELECT u.id FROM pg_catalog.unnest(v_ids) AS u (id) WHERE u.id <> ALL (v_dead)
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
