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
    v_is_safe boolean;
BEGIN
    IF queue_name IS NOT NULL THEN
        PERFORM pgmq._readable_table(queue_name);
    END IF;
    FOR v_queue IN
        SELECT
            m.queue_name::text,
            m.created_at,
            pgmq._queue_table(m.queue_name) AS relation,
            p AS policy
        FROM pgmq.meta AS m
        LEFT JOIN pgmq.policy AS p ON p.queue_name = m.queue_name
        WHERE (v_wanted IS NULL OR lower(m.queue_name) = lower(v_wanted))
            AND NOT (m.is_unlogged AND pg_is_in_recovery())
        ORDER BY m.queue_name
    LOOP
        CONTINUE WHEN pg_relation_size(v_queue.relation) IS NULL
            OR pgmq._may_measure(v_queue.relation) IS NOT true;
        BEGIN
            v_is_safe := pgmq._is_safe_to_touch(v_queue.relation, v_callers);
            IF v_is_safe THEN
                SELECT s.*
                INTO visible, delayed, in_flight, dead_letters, archive_length, sent_total
                FROM pgmq._stats(
                    v_queue.queue_name, v_queue.relation, v_queue.policy, v_callers
                ) AS s;
            END IF;
            -- As in metrics_all(): the rollback releases the locks.
            RAISE EXCEPTION 'measured' USING ERRCODE = 'PGMQ0';
        EXCEPTION
            WHEN SQLSTATE 'PGMQ0' THEN
                IF v_is_safe THEN
                    queue_name := v_queue.queue_name;
                    removed_total := pgmq._removed_rows(v_queue.relation);
                    counted_since := greatest(v_since, v_queue.created_at);
                    RETURN NEXT;
                ELSE
                    v_others := v_others || v_queue.queue_name;
                END IF;
            WHEN undefined_table OR undefined_function OR undefined_object OR internal_error THEN
                -- The queue may have been dropped meanwhile; any other failure is raised again.
                IF EXISTS (SELECT FROM pg_class AS c WHERE c.oid = v_queue.relation) THEN
                    RAISE;
                END IF;
        END;
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
caller may not see its metrics. archive_length is exact for up to 48 pages (of 8 kB), and estimated
in the same way beyond; null for a stream, or if the caller may not see the archive.

sent_total and removed_total only grow, so two calls tell the rates between them. sent_total is how
many msg_ids were drawn, those of sends that were rolled back included. removed_total is how many
messages have left the queue in any way but purge by TRUNCATE, or with a partition, since
counted_since. Postgres counts them, a second after the commit. It begins anew after a crash, as
counters of Prometheus may.

Of a stream, all messages count as visible, whichever groups have read them, and none is in flight:
see list_groups. Queues that the caller may not see, or should not look at, are left out as
metrics_all leaves them out.';

CREATE OR REPLACE FUNCTION pgmq._stats(
    queue_name text,
    relation regclass,
    policy pgmq.policy,
    callers oid[],
    OUT visible bigint,
    OUT delayed bigint,
    OUT in_flight bigint,
    OUT dead_letters bigint,
    OUT archive_length bigint,
    OUT sent_total bigint
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_archive CONSTANT regclass := pgmq._queue_table(queue_name, true);
    v_dead_letters CONSTANT regclass := CASE
        WHEN policy.dead_letter_queue IS NOT NULL
            THEN pgmq._queue_table(policy.dead_letter_queue)
    END;
    v_metrics pgmq.metrics_result;
BEGIN
    IF pgmq._is_stream(relation) THEN
        v_metrics := pgmq._stream_metrics(queue_name);
        visible := v_metrics.queue_length;
        delayed := 0;
        in_flight := 0;
        sent_total := v_metrics.total_messages;
        RETURN;
    END IF;
    SELECT l.visible, l.delayed, l.in_flight, l.last_id INTO visible, delayed, in_flight, sent_total
    FROM pgmq._lengths(queue_name, relation, policy) AS l;
    IF pgmq._may_measure(v_dead_letters)
        AND pgmq._is_safe_to_touch(v_dead_letters, callers)
    THEN
        dead_letters := (SELECT m.queue_length FROM pgmq.metrics(policy.dead_letter_queue) AS m);
    END IF;
    IF pgmq._may_measure(v_archive)
        AND pgmq._is_safe_to_touch(v_archive, callers)
    THEN
        archive_length := (
            SELECT s.total FROM pgmq._sample(v_archive, null, '{false,false,false}', now()) AS s
        );
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._stats(text, regclass, pgmq.policy, oid[]) IS
'What queue_stats() says of one queue, from its tables.';

CREATE OR REPLACE FUNCTION pgmq._removed_rows(relation regclass)
RETURNS bigint
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT sum(pg_stat_get_tuples_deleted(t.relid))::bigint
    FROM pgmq._storage(relation) AS t
$$;
COMMENT ON FUNCTION pgmq._removed_rows(regclass) IS
'How many rows of a table, partitions included, were deleted, by the statistics.';
