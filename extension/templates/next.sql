-- When the next message is visible: the vt of the first ready one, or of the first parked one;
-- null when there is none. Nobody is told of a time later than until. Messages that no read would
-- return, for they have expired or were received too often, do not count; up to 1,000 are passed.
--
-- What has been leased and acknowledged leaves dead index entries at times that are yet to come,
-- which no mark can pass. Where these may be many, the search goes by steps, and ends after some:
-- the result is then the time up to which there is nothing.
CREATE OR REPLACE FUNCTION pgmq._next_$queue(until timestamptz DEFAULT 'infinity')
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_ready bigint;
    v_parked timestamptz;
    v_next timestamptz;
    --# if max_receives or message_ttl
    v_now CONSTANT timestamptz := clock_timestamp();
    --# end
    --# unless partitioned
    v_began CONSTANT timestamptz := clock_timestamp();
    v_place timestamptz := v_began;
    --# end
BEGIN
    --# if partitioned
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_$queue');
    END IF;
    --# end
    PERFORM FROM pgmq.q_$queue WHERE false;     -- locked first: see drop_queue
    v_ready := pgmq._id_mark('pgmq.ready_mark_$queue');
    v_parked := pgmq._parked_mark('pgmq.parked_mark_$queue');
    v_next := (
        SELECT f.vt
        FROM (
            SELECT q.vt, q.read_ct, q.enqueued_at, q.headers
            FROM pgmq.q_$queue AS q
            WHERE $live(q) AND q.vt <= q.enqueued_at AND q.msg_id >= v_ready
            ORDER BY q.msg_id
            LIMIT 1000
        ) AS f
        --# if max_receives or message_ttl
        WHERE NOT pgmq._is_dead(
            f.read_ct, f.enqueued_at, f.headers, v_now,
            max_receives$policy, message_ttl$policy
        )
        --# end
        LIMIT 1
    );
    --# if max_receives or message_ttl
    -- Reads must clear away so many before any other is seen.
    IF v_next IS NULL
        AND pg_catalog.cardinality(pgmq._visible_$queue(v_now, 1000, null)) = 1000
    THEN
        RETURN now();
    END IF;
    --# end
    --# unless partitioned
    IF pg_catalog.pg_relation_size('pgmq.parked_idx_$queue'::regclass, 'main'::text) > '1000000'
        AND pg_catalog.pg_stat_get_dead_tuples('pgmq.q_$queue'::regclass) > '20000'
    THEN
        FOR step IN 0 .. 75 LOOP        -- 11 minutes
            v_place := least(until, v_place + CASE
                WHEN step = 0 THEN interval '0'         -- what is due already
                WHEN step < 32 THEN interval '0.5 seconds'
                ELSE interval '15 seconds'
            END);
            v_next := least(v_next, (
                SELECT f.vt
                FROM (
                    SELECT q.vt, q.read_ct, q.enqueued_at, q.headers
                    FROM pgmq.q_$queue AS q
                    WHERE q.vt > q.enqueued_at AND q.vt BETWEEN v_parked AND v_place
                    ORDER BY q.vt
                    LIMIT 1000
                ) AS f
                --# if max_receives or message_ttl
                WHERE NOT pgmq._is_dead(
                    f.read_ct, f.enqueued_at, f.headers, greatest(f.vt, v_now),
                    max_receives$policy, message_ttl$policy
                )
                --# end
                LIMIT 1
            ));
            IF v_next <= v_place OR v_place = until THEN
                RETURN v_next;
            END IF;
            -- Half a second at least, or whoever waits would ask in vain all the time.
            EXIT WHEN step > 0 AND clock_timestamp() > v_began + interval '3 milliseconds';
            v_parked := v_place;
        END LOOP;
        RETURN v_place;
    END IF;
    --# end
    RETURN least(v_next, (
        SELECT f.vt
        FROM (
            SELECT q.vt, q.read_ct, q.enqueued_at, q.headers
            FROM pgmq.q_$queue AS q
            WHERE $live(q) AND q.vt > q.enqueued_at AND q.vt >= v_parked AND q.vt <= until
            ORDER BY q.vt
            LIMIT 1000
        ) AS f
        --# if max_receives or message_ttl
        WHERE NOT pgmq._is_dead(
            f.read_ct, f.enqueued_at, f.headers, greatest(f.vt, v_now),
            max_receives$policy, message_ttl$policy
        )
        --# end
        LIMIT 1
    ));
END
$$;
