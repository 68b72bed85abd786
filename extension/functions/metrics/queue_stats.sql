CREATE OR REPLACE FUNCTION pgmq.queue_stats(
    INOUT queue_name text DEFAULT null,
    OUT visible bigint,
    OUT delayed bigint,
    OUT in_flight bigint,
    OUT dead_letters bigint,
    OUT archive_length bigint,
    OUT sent_total bigint,
    OUT removed_total bigint,
    OUT counted_since timestamptz
)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_wanted CONSTANT text := queue_name;
    v_callers CONSTANT oid[] := CASE
        WHEN queue_name IS NULL THEN pgmq._powerful_callers() ELSE '{}'::oid[]
    END;
    v_since CONSTANT timestamptz := pgmq._counters_began_at();
    v_queue record;
    v_others text[] := '{}'::text[];
BEGIN
    IF queue_name IS NOT NULL THEN
        PERFORM pgmq._readable_table(queue_name);
    END IF;
    FOR v_queue IN
        WITH measured AS MATERIALIZED (
            SELECT s.*
            FROM pgmq._batches(v_wanted) AS t
            CROSS JOIN LATERAL pgmq._measure(
                t.queue_names, v_callers, true, v_wanted IS NOT NULL
            ) AS s
        )
        SELECT s.*, m.created_at, d.total AS dead_letters
        FROM measured AS s
        INNER JOIN pgmq.meta AS m ON s.queue_name = m.queue_name
        LEFT JOIN measured AS d ON lower(s.dead_letter_queue) = lower(d.queue_name)
        ORDER BY m.queue_name
    LOOP
        IF NOT v_queue.is_safe THEN
            v_others := v_others || v_queue.queue_name;
            CONTINUE;
        END IF;
        queue_name := v_queue.queue_name;
        visible := v_queue.visible;
        delayed := v_queue.delayed;
        in_flight := v_queue.in_flight;
        dead_letters := CASE
            WHEN v_wanted IS NULL THEN v_queue.dead_letters
            WHEN v_queue.dead_letter_queue IS NOT NULL THEN (
                SELECT d.total
                FROM pgmq._batches(v_queue.dead_letter_queue) AS t
                CROSS JOIN LATERAL pgmq._measure(
                    t.queue_names, v_callers, false, false
                ) AS d
            )
        END;
        archive_length := v_queue.archive_length;
        sent_total := v_queue.last_id;
        removed_total := v_queue.removed;
        counted_since := greatest(v_since, v_queue.created_at);
        RETURN NEXT;
    END LOOP;
    PERFORM pgmq._warn_of_others(
        'queue_stats()', v_others,
        'Name the queue, or call it as a member of pg_monitor without more rights.'
    );
END
$$;
COMMENT ON FUNCTION pgmq.queue_stats(text) IS
'Return how many messages of a queue (null: of each) are in which state, and totals for rates.

visible, delayed and in_flight are the messages that a read may return, that wait for their time,
and that somebody has leased. They are counted or estimated as those of metrics are. Messages that
have expired, or were received too often, are in none of them until a read takes them away.

dead_letters is the length of the queue that the policy names for them; null without one, or if the
caller may not see its metrics. archive_length is exact for up to 64 pages (of 8 kB), and estimated
in the same way beyond; null for a stream, or if the caller may not see the archive.

sent_total and removed_total only grow, so two calls tell the rates between them. sent_total is how
many msg_ids were drawn, those of sends that were rolled back included. removed_total is how many
messages have left the queue in any way but purge by TRUNCATE, or with a partition, since
counted_since. Postgres counts them, a second after the commit. It begins anew after a crash, as
counters of Prometheus may.

Of a stream, all messages count as visible, whichever groups have read them, and none is in flight:
see list_groups. Queues that the caller may not see, or should not look at, are left out as
metrics_all leaves them out.';
