CREATE OR REPLACE FUNCTION pgmq.metrics(queue_name text)
RETURNS pgmq.metrics_result
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_exact CONSTANT bigint := 10000;
    v_name text;
    v_table regclass;
    v_is_stream boolean;
    v_ready bigint;
    v_parked bigint;
    v_due bigint;
    v_dead bigint;
    v_until timestamptz := 'infinity'::timestamptz;
    v_is_counted boolean;       -- whether all parked messages are
    v_policy CONSTANT pgmq.policy := pgmq._policy_of(queue_name);
    v_length bigint;
    v_visible bigint;
    v_oldest timestamptz;
    v_newest timestamptz;
    v_default regclass;
    v_last bigint;
    v_first bigint;
    v_first_ready bigint;
    v_last_ready bigint;
    v_all_ready bigint;
    v_metrics pgmq.metrics_result;
BEGIN
    PERFORM pgmq._compiled('enqueue', queue_name);     -- an unknown queue is an error
    v_name := format('pgmq.%I', pgmq.format_table_name(queue_name, 'q'));
    v_table := to_regclass(v_name);
    v_is_stream := pgmq._is_stream(v_table);
    IF NOT has_column_privilege(
        v_table, CASE WHEN v_is_stream THEN 'enqueued_at' ELSE 'vt' END, 'SELECT'
    )
    THEN
        RAISE EXCEPTION 'permission denied for table %', pgmq.format_table_name(queue_name, 'q')
            USING ERRCODE = 'insufficient_privilege',
                HINT = format(
                    'Its owner can SELECT pgmq.grant_monitor(%L, %L).', queue_name, current_user
                );
    END IF;
    -- From here on a drop of the queue waits. If it is dropped already, this raises 42P01.
    EXECUTE format('SELECT q.msg_id FROM %s AS q WHERE false', v_name);
    IF v_is_stream THEN
        RETURN pgmq._stream_metrics(queue_name);
    END IF;
    v_table := v_name::regclass;
    IF v_policy.max_receives IS NULL AND v_policy.message_ttl IS NULL THEN
        v_metrics := pgmq._small_metrics(queue_name, v_table);
        IF v_metrics.queue_name IS NOT NULL THEN
            RETURN v_metrics;
        END IF;
    END IF;
    v_default := pgmq._default_partition(v_table);
    v_last := coalesce(
        pgmq._sequence_value(pg_get_serial_sequence(v_table::text, 'msg_id')::regclass), 0
    );

    -- An acknowledged lease leaves a dead index entry at a future time, which no mark can pass.
    -- While vacuum cannot remove such entries, only the parked messages that are due are counted.
    IF pgmq._dead_rows(v_table) > 10 * v_exact THEN
        v_until := clock_timestamp();
    END IF;

    -- Ready and parked messages are counted from the live ends of their indexes, up to v_exact
    -- and one more.
    EXECUTE format(
        $sql$
        SELECT
            count(*) FILTER (WHERE m.vt <= m.enqueued_at),
            count(*) FILTER (WHERE m.vt > m.enqueued_at),
            count(*) FILTER (WHERE m.vt > m.enqueued_at AND m.vt <= clock_timestamp()),
            count(*) FILTER (WHERE m.is_dead AND m.vt <= clock_timestamp()),
            min(m.enqueued_at),
            max(m.enqueued_at),
            min(m.msg_id),
            min(m.msg_id) FILTER (WHERE m.vt <= m.enqueued_at),
            max(m.msg_id) FILTER (WHERE m.vt <= m.enqueued_at)
        FROM (
            (
                SELECT q.msg_id, q.enqueued_at, q.vt, %2$s AS is_dead FROM %1$s AS q
                WHERE q.vt <= q.enqueued_at AND q.msg_id >= $2
                ORDER BY q.msg_id LIMIT $1 + 1
            )
            UNION ALL
            (
                SELECT q.msg_id, q.enqueued_at, q.vt, %2$s AS is_dead FROM %1$s AS q
                WHERE q.vt > q.enqueued_at AND q.vt BETWEEN $3 AND $6
                ORDER BY q.vt LIMIT $1 + 1
            )
        ) AS m
        $sql$,
        v_table,
        CASE WHEN v_policy.max_receives IS NULL AND v_policy.message_ttl IS NULL THEN 'false'
            ELSE format(
                'pgmq._is_dead(q.read_ct, q.enqueued_at, %s, clock_timestamp(), $4, $5)',
                -- A header may hold a time-to-live, but a role that monitors may not see headers.
                CASE WHEN has_column_privilege(v_table, 'headers', 'SELECT') THEN 'q.headers'
                    ELSE 'null' END
            )
        END
    ) INTO v_ready, v_parked, v_due, v_dead, v_oldest, v_newest, v_first, v_first_ready,
        v_last_ready
    USING v_exact,
        coalesce(
            pgmq._sequence_value(
                format('pgmq.%I', pgmq._relation_name('ready_mark', queue_name))::regclass
            ),
            '-9223372036854775808'::bigint
        ),
        to_timestamp(coalesce(
            pgmq._sequence_value(
                format('pgmq.%I', pgmq._relation_name('parked_mark', queue_name))::regclass
            ),
            0
        ) / 1e6),
        v_policy.max_receives, v_policy.message_ttl,
        v_until;
    v_is_counted := v_parked <= v_exact AND v_until = 'infinity';
    v_length := v_ready + v_parked;
    v_visible := v_ready + v_due - v_dead;

    IF v_ready > v_exact OR NOT v_is_counted THEN
        -- Assume that ready messages are as dense among the later ids as among the counted ones.
        v_all_ready := CASE
            WHEN v_ready > v_exact THEN (
                v_ready::double precision * (greatest(v_last, v_last_ready) - v_first_ready + 1)
                / (v_last_ready - v_first_ready + 1)
            )::bigint
            ELSE v_ready
        END;
        v_length := greatest(v_length, CASE
            WHEN pgmq._is_counted(v_table, (
                SELECT min(m.created_at) FROM pgmq.meta AS m
                WHERE lower(m.queue_name) = lower(metrics.queue_name)
            )) THEN pgmq._estimated_rows(v_table)
            WHEN v_is_counted THEN v_parked + v_all_ready
            -- Estimated from the size of the table, but no more than there are ids.
            ELSE least(
                pgmq._planned_rows(format('SELECT FROM %s', v_table)), v_last - v_first + 1
            )
        END);
        IF v_is_counted THEN
            v_visible := v_length - (v_parked - v_due) - v_dead;
        ELSIF v_until < 'infinity' AND v_due <= v_exact THEN
            v_visible := least(v_length, v_all_ready + v_due) - v_dead;
        ELSIF v_ready > v_exact OR v_due > v_exact THEN
            -- Estimated from the share of visible messages that the last ANALYZE saw.
            v_visible := greatest(v_visible, least(v_length, pgmq._planned_rows(
                format('SELECT FROM %s AS q WHERE q.vt <= %L', v_table, clock_timestamp())
            )));
        END IF;
        IF v_until = 'infinity' THEN
            EXECUTE format(
                'SELECT q.enqueued_at FROM %s AS q ORDER BY q.msg_id DESC LIMIT 1', v_table
            ) INTO v_newest;
        ELSE
            EXECUTE format(
                'SELECT least($2, min(q.enqueued_at)), greatest($3, max(q.enqueued_at))'
                ' FROM %s AS q WHERE q.msg_id > $1',
                v_table
            ) INTO v_oldest, v_newest USING v_last - v_exact, v_oldest, v_newest;
        END IF;
    END IF;

    RETURN ROW(
        queue_name,
        v_length,
        extract(epoch FROM now() - v_newest)::integer,
        extract(epoch FROM now() - v_oldest)::integer,
        v_last,
        now(),
        v_visible,
        CASE
            WHEN v_default IS NOT NULL THEN pgmq._default_rows(v_table, v_exact)
            WHEN pgmq._partition_column(v_table::text) IS NOT NULL THEN 0
        END
    )::pgmq.metrics_result;
END
$$;
COMMENT ON FUNCTION pgmq.metrics(text) IS
'Return what a queue holds: how many messages, how many of these are visible, and their ages.

queue_length counts all messages, queue_visible_length the visible ones. Expired messages, and those
that were received too often, do not count as visible. Both numbers are exact up to 10,000 ready and
10,000 parked messages. Beyond that they are estimated, so that the cost does not grow with the
queue: from statistics, or from ids and the size of the table if a crash or pg_upgrade has left no
statistics.

While vacuum has yet to remove more than 100,000 dead rows, messages that are not due are estimated,
too. The ages are then those of the visible messages and of the last 10,000.

Ages are in seconds, null when the queue is empty. total_messages is the last msg_id drawn.
default_partition_length is the number of messages in the default partition of a partitioned queue,
null for other queues. Needs SELECT on the queue''s table and sequences.

The lengths of a stream are how many messages it keeps, whichever groups have read them: exact up to
10,000, and then estimated from statistics, or from msg_ids. For what a group has yet to read, see
list_groups. total_messages leaves out the msg_ids that were passed over at the end of segments.';

CREATE OR REPLACE FUNCTION pgmq._small_metrics(queue_name text, relation regclass)
RETURNS pgmq.metrics_result
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    v_name CONSTANT text := format('pgmq.%I', pgmq.format_table_name(queue_name, 'q'));
    v_size CONSTANT bigint := pg_relation_size(relation);
    v_metrics pgmq.metrics_result;
BEGIN
    IF v_size > 64 * current_setting('block_size')::integer
        OR (SELECT c.relkind FROM pg_class AS c WHERE c.oid = relation) <> 'r'
    THEN
        RETURN null;
    END IF;
    -- All in one statement: with thousands of queues, the number of statements makes the time.
    EXECUTE format(
        $sql$
        SELECT
            count(*),
            extract(epoch FROM now() - max(q.enqueued_at))::integer,
            extract(epoch FROM now() - min(q.enqueued_at))::integer,
            coalesce((SELECT s.last_value FROM %s AS s WHERE s.is_called), 0),
            count(*) FILTER (WHERE q.vt <= greatest(q.enqueued_at, clock_timestamp()))
        FROM %s AS q
        $sql$,
        pg_get_serial_sequence(v_name, 'msg_id'),
        -- If the table has no page, neither the table nor its indexes need to be opened.
        CASE
            WHEN v_size > 0 THEN v_name
            ELSE '(SELECT NULL::timestamptz AS enqueued_at, NULL::timestamptz AS vt WHERE false)'
        END
    ) INTO
        v_metrics.queue_length, v_metrics.newest_msg_age_sec, v_metrics.oldest_msg_age_sec,
        v_metrics.total_messages, v_metrics.queue_visible_length;
    v_metrics.queue_name := queue_name;
    v_metrics.scrape_time := now();
    RETURN v_metrics;
END
$$;
COMMENT ON FUNCTION pgmq._small_metrics(text, regclass) IS
'The metrics of a queue whose policy lets no message die; null unless its table is small and whole.';

CREATE OR REPLACE FUNCTION pgmq._sequence_value(sequence regclass)
RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_value bigint;
BEGIN
    -- Not pg_sequence_last_value(): its lock stays even when a savepoint is rolled back.
    EXECUTE format('SELECT s.last_value FROM %s AS s WHERE s.is_called', sequence) INTO v_value;
    RETURN v_value;
END
$$;
COMMENT ON FUNCTION pgmq._sequence_value(regclass) IS
'The last value of a sequence, null if it has none; for callers that look at thousands of queues.';

CREATE OR REPLACE FUNCTION pgmq._stream_metrics(queue_name text)
RETURNS pgmq.metrics_result
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_exact CONSTANT bigint := 10000;
    v_table CONSTANT regclass := pgmq._queue_table(queue_name);
    v_last CONSTANT bigint := coalesce(
        pgmq._sequence_value(pg_get_serial_sequence(v_table::text, 'msg_id')::regclass), 0
    );
    v_first bigint;
    v_oldest timestamptz;
    v_newest timestamptz;
    v_metrics pgmq.metrics_result;
BEGIN
    EXECUTE format(
        $sql$
        SELECT count(*), min(m.msg_id), (array_agg(m.enqueued_at ORDER BY m.msg_id))[1]
        FROM (
            SELECT q.msg_id, q.enqueued_at FROM %s AS q ORDER BY q.msg_id LIMIT $1 + 1
        ) AS m
        $sql$,
        v_table
    ) INTO v_metrics.queue_length, v_first, v_oldest USING v_exact;
    EXECUTE format('SELECT q.enqueued_at FROM %s AS q ORDER BY q.msg_id DESC LIMIT 1', v_table)
    INTO v_newest;
    IF v_metrics.queue_length > v_exact THEN
        v_metrics.queue_length := greatest(v_metrics.queue_length, CASE
            WHEN pgmq._is_counted(v_table, pgmq._created_at(v_table))
                THEN pgmq._estimated_rows(v_table)
            ELSE pgmq._messages_between(queue_name, v_first - 1, v_last)
        END);
    END IF;
    v_metrics.queue_name := queue_name;
    v_metrics.newest_msg_age_sec := extract(epoch FROM now() - v_newest);
    v_metrics.oldest_msg_age_sec := extract(epoch FROM now() - v_oldest);
    v_metrics.total_messages := v_last - (
        SELECT p.skipped_ids FROM pgmq.partitioning AS p
        WHERE lower(p.queue_name) = lower(_stream_metrics.queue_name) AND NOT p.is_archive
    );
    v_metrics.scrape_time := now();
    v_metrics.queue_visible_length := v_metrics.queue_length;
    v_metrics.default_partition_length := CASE
        WHEN pgmq._default_partition(v_table) IS NULL THEN 0
        ELSE pgmq._default_rows(v_table, v_exact)
    END;
    RETURN v_metrics;
END
$$;
COMMENT ON FUNCTION pgmq._stream_metrics(text) IS
'The metrics of a stream: how many messages it keeps, whichever groups have read them, and their ages.';
