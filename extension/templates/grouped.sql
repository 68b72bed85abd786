-- Lease messages of FIFO groups: of the oldest free groups, one after the other (grouped), in
-- rounds (rr), one of each (head), or of one group (group: the one of that name).
CREATE OR REPLACE FUNCTION pgmq._grouped_$queue(
    seconds integer,
    quantity integer,
    kind text,
    group_name text
)
RETURNS SETOF pgmq."_message_$queue"
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    --# if max_receives or message_ttl
    v_path CONSTANT text := pg_catalog.current_setting('search_path'::text);
    --# end
    v_ids bigint[];
BEGIN
    ASSERT pgmq._may('UPDATE', queue_name$policy, 'pgmq.q_$queue');
    IF seconds IS NULL OR quantity < 0 THEN
        PERFORM pgmq._check_read(seconds, quantity);
    END IF;
    --# if partitioned
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_$queue');
    END IF;
    --# end
    PERFORM FROM pgmq.q_$queue WHERE false;     -- locked first: see drop_queue
    IF pgmq._chance(quantity, 32) OR pgmq._microseconds(clock_timestamp())
        >= coalesce(pg_catalog.pg_sequence_last_value('pgmq.sweep_due_$queue'), 0)
    THEN
        PERFORM pgmq._advance_$queue();
        --# if archive_retention or dedup_window
        PERFORM pgmq._upkeep_$queue(quantity);
        --# end
    END IF;

    --# unless max_in_flight
    v_ids := pgmq._groupchoose_$queue(quantity, kind, group_name);
    --# end
    --# if max_in_flight
    v_ids := pgmq._admit_$queue(quantity, null, kind, group_name);
    --# end
    --# if max_receives or message_ttl
    PERFORM pgmq._restore_search_path(v_path);      -- triggers on dead letters
    --# end
    IF pg_catalog.cardinality(v_ids) = 0 THEN
        RETURN;
    END IF;

    RETURN QUERY
        WITH leased AS (
            UPDATE pgmq.q_$queue AS m
            SET read_ct = least(m.read_ct, 2147483646) + 1,
                last_read_at = clock_timestamp(),
                vt = greatest(
                    clock_timestamp() + pg_catalog.make_interval(secs => greatest(seconds, 0)),
                    m.enqueued_at + interval '1 microsecond'
                )
            WHERE $timely(m) AND m.msg_id = ANY (v_ids)
            RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers
        )
        SELECT l.msg_id, l.read_ct, l.enqueued_at, l.last_read_at, l.vt, l.message, l.headers
        FROM leased AS l
        INNER JOIN pg_catalog.unnest(v_ids) WITH ORDINALITY AS u (msg_id, place)
            ON l.msg_id = u.msg_id
        ORDER BY CASE WHEN kind = 'rr' THEN u.place END, l.msg_id;
    --# if partitioned
    IF pgmq._chance(quantity, 32) THEN
        PERFORM pgmq._tend_$queue();
    END IF;
    --# end
END
$$;
