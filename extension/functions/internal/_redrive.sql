-- Put visible messages back into the queues that they came from, or into a given one, oldest first,
-- and return how many. It goes in steps, so that another call can take the rest at the same time.
-- Messages that are leased, delayed or locked stay, and so do those that came from no known queue.
CREATE OR REPLACE FUNCTION pgmq._redrive(
    queue_name text,
    to_queue text,
    quantity bigint,
    condition jsonb,
    rate double precision
)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_step CONSTANT integer := 1000;
    v_began CONSTANT timestamptz := clock_timestamp();
    v_name CONSTANT text := format('pgmq.%I', pgmq.format_table_name(queue_name, 'q'));
    v_suffix CONSTANT text := pgmq._suffix(queue_name);
    v_proper CONSTANT text := lower(queue_name);
    v_live text;
    v_now timestamptz;
    v_first bigint;
    v_last bigint;
    v_wanted bigint;
    v_taken bigint;
    v_moved bigint := 0;
    v_target text;
    v_places jsonb := '{}'::jsonb;      -- how many each queue has got
    v_ids bigint[];
    v_last_id bigint;
    v_left bigint;
    v_origins text;
BEGIN
    IF NOT has_table_privilege(v_name, 'DELETE') THEN
        PERFORM pgmq._may('DELETE', queue_name, v_name);
    END IF;
    PERFORM pgmq._lock_table_first(queue_name);
    IF pgmq._partition_column(v_name) IS NOT NULL AND pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot(v_name);
    END IF;
    v_live := pgmq._live_range(queue_name);
    EXECUTE format('SELECT pgmq.%I()', pgmq._compiled('advance', queue_name));
    v_now := clock_timestamp();
    -- Begin behind the messages that were redriven before: until a vacuum, their dead entries are
    -- in the primary key.
    EXECUTE format(
        $sql$
        SELECT least(
            (
                SELECT q.msg_id FROM %1$s AS q
                WHERE %2$s AND q.vt <= q.enqueued_at AND q.msg_id >= (SELECT $1)
                ORDER BY q.msg_id
                LIMIT 1
            ),
            (
                SELECT min(q.msg_id + 0) FROM %1$s AS q
                WHERE %2$s AND q.vt > q.enqueued_at AND q.vt BETWEEN (SELECT $2) AND $3
            )
        )
        $sql$,
        v_name, v_live
    )
    INTO v_first
    USING
        pgmq._id_mark(format('pgmq.%I', concat('ready_mark_', v_suffix))::regclass),
        pgmq._parked_mark(format('pgmq.%I', concat('parked_mark_', v_suffix))::regclass),
        v_now;
    v_last := v_first - 1;
    LOOP
        v_wanted := least(v_step, quantity - v_moved);
        v_taken := 0;
        FOR v_target, v_ids, v_last_id IN EXECUTE format(
            $sql$
            SELECT m.queue_name, array_agg(m.msg_id) AS msg_ids, max(m.msg_id) AS last_id
            FROM (
                SELECT q.msg_id, coalesce($1, pgmq._origin(q.headers)) AS queue_name
                FROM %s AS q
                WHERE %s AND q.msg_id > $2 AND (q.vt <= $3 OR q.vt <= q.enqueued_at)
                    AND (
                        $1 IS NOT NULL
                        OR pgmq._can_return(pgmq._origin(q.headers), $5)
                    )
                    AND ($6 IS NULL OR q.message @> $6)
                ORDER BY q.msg_id
                LIMIT $4
                FOR UPDATE SKIP LOCKED
            ) AS m
            GROUP BY m.queue_name
            $sql$,
            v_name, v_live
        ) USING to_queue, v_last, v_now, v_wanted, v_proper, condition
        LOOP
            PERFORM pgmq._move(
                v_proper, v_ids, v_target, true, v_began,
                coalesce((v_places ->> v_target)::bigint, 0), rate
            );
            v_places := v_places || jsonb_build_object(
                v_target, coalesce((v_places ->> v_target)::bigint, 0) + cardinality(v_ids)
            );
            v_taken := v_taken + cardinality(v_ids);
            v_last := greatest(v_last, v_last_id);
        END LOOP;
        v_moved := v_moved + v_taken;
        EXIT WHEN v_taken < v_wanted OR v_moved = quantity;
    END LOOP;

    IF to_queue IS NULL THEN
        EXECUTE format(
            $sql$
            SELECT
                count(*) AS messages,
                string_agg(DISTINCT coalesce(quote_ident(m.origin), 'not known'), ', ') AS origins
            FROM (
                SELECT pgmq._origin(q.headers) AS origin
                FROM %s AS q
                WHERE %s AND q.msg_id BETWEEN $1 AND $2 AND (q.vt <= $3 OR q.vt <= q.enqueued_at)
                    AND ($5 IS NULL OR q.message @> $5)
            ) AS m
            WHERE NOT pgmq._can_return(m.origin, $4)
            $sql$,
            v_name, v_live
        )
        INTO v_left, v_origins
        USING
            v_first, CASE WHEN v_moved < quantity THEN 9223372036854775807 ELSE v_last END,
            v_now, v_proper, condition;
        IF v_left > 0 THEN
            RAISE WARNING '% messages stay in queue "%", for the queues they came from are not there'
                ', are streams, or are not safe for a superuser to write to: %',
                v_left, v_proper, v_origins
                USING HINT = 'Give redrive() the name of a queue for them.'
                    ' In a stream all groups would get them again.';
        END IF;
    END IF;
    RETURN v_moved;
END
$$;
COMMENT ON FUNCTION pgmq._redrive(text, text, bigint, jsonb, double precision) IS
'Do what redrive() does, for a known queue: put back up to so many messages, and return how many.';
