-- Put visible messages back into the queues that they came from, or into one that is named, oldest
-- first, and return how many. In steps: what this has not come to, another one may take that runs
-- at the same time. What is leased, delayed or locked is somebody's, and stays; so does what came
-- from no queue that is known.
CREATE OR REPLACE FUNCTION pgmq._redrive_$queue(to_queue text, quantity bigint)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_step CONSTANT integer := 1000;
    v_now timestamptz;
    v_ready bigint;
    v_parked timestamptz;
    v_first bigint;
    v_last bigint;
    v_wanted bigint;
    v_taken bigint;
    v_moved bigint := 0;
    v_group record;
    v_left record;
BEGIN
    ASSERT pgmq._may('DELETE', queue_name$policy, 'pgmq.q_$queue');
    --# if partitioned
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_$queue');
    END IF;
    --# end
    PERFORM FROM pgmq.q_$queue WHERE false;     -- locked first: see drop_queue
    PERFORM pgmq._advance_$queue();
    v_now := clock_timestamp();
    v_ready := pgmq._id_mark('pgmq.ready_mark_$queue');
    v_parked := pgmq._parked_mark('pgmq.parked_mark_$queue');
    -- Behind what was redriven before: until a vacuum, its entries are in the primary key.
    v_first := least(
        (
            SELECT q.msg_id FROM pgmq.q_$queue AS q
            WHERE $live(q) AND q.vt <= q.enqueued_at AND q.msg_id >= v_ready
            ORDER BY q.msg_id
            LIMIT 1
        ),
        (
            SELECT min(q.msg_id + 0) FROM pgmq.q_$queue AS q
            WHERE $live(q) AND q.vt > q.enqueued_at AND q.vt BETWEEN v_parked AND v_now
        )
    );
    v_last := v_first - 1;
    LOOP
        v_wanted := least(v_step, quantity - v_moved);
        v_taken := 0;
        FOR v_group IN
            SELECT m.queue_name, pg_catalog.array_agg(m.msg_id) AS msg_ids, max(m.msg_id) AS last_id
            FROM (
                SELECT
                    q.msg_id,
                    coalesce(to_queue, pgmq._origin(q.headers)) AS queue_name
                FROM pgmq.q_$queue AS q
                WHERE $live(q) AND q.msg_id > v_last
                    AND (q.vt <= v_now OR q.vt <= q.enqueued_at)
                    AND (
                        to_queue IS NOT NULL
                        OR pgmq._can_return(pgmq._origin(q.headers), queue_name$policy)
                    )
                ORDER BY q.msg_id
                LIMIT v_wanted
                FOR UPDATE SKIP LOCKED
            ) AS m
            GROUP BY m.queue_name
        LOOP
            PERFORM pgmq._move(queue_name$policy, v_group.msg_ids, v_group.queue_name, true);
            v_taken := v_taken + pg_catalog.cardinality(v_group.msg_ids);
            v_last := greatest(v_last, v_group.last_id);
        END LOOP;
        v_moved := v_moved + v_taken;
        EXIT WHEN v_taken < v_wanted OR v_moved = quantity;
    END LOOP;

    IF to_queue IS NULL THEN
        SELECT
            count(*) AS messages,
            pg_catalog.string_agg(
                DISTINCT coalesce(quote_ident(m.origin), 'not known'), ', '
            ) AS origins
        INTO v_left
        FROM (
            SELECT pgmq._origin(q.headers) AS origin
            FROM pgmq.q_$queue AS q
            WHERE $live(q) AND q.msg_id BETWEEN v_first AND CASE
                    WHEN v_moved < quantity THEN 9223372036854775807
                    ELSE v_last
                END
                AND (q.vt <= v_now OR q.vt <= q.enqueued_at)
        ) AS m
        WHERE NOT pgmq._can_return(m.origin, queue_name$policy);
        IF v_left.messages > 0 THEN
            RAISE WARNING '% messages stay in queue "%", for the queues they came from are not there'
                ', or not safe for a superuser to write to: %',
                v_left.messages, queue_name$policy, v_left.origins
                USING HINT = 'Give redrive() the name of a queue for them.';
        END IF;
    END IF;
    RETURN v_moved;
END
$$;
