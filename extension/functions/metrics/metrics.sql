CREATE OR REPLACE FUNCTION pgmq.metrics(queue_name text)
RETURNS pgmq.metrics_result
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_relation CONSTANT regclass := pgmq._readable_table(queue_name);
BEGIN
    RETURN (
        SELECT pgmq._metrics(
            queue_name, l.total, l.visible, l.oldest, l.newest, l.last_id,
            pgmq._default_length(v_relation)
        )
        FROM pgmq._lengths(queue_name, v_relation, pgmq._policy_of(queue_name)) AS l
    );
END
$$;
COMMENT ON FUNCTION pgmq.metrics(text) IS
'Return what a queue holds: how many messages, how many of these are visible, and their ages.

queue_length counts all messages, queue_visible_length the visible ones. Expired messages, and those
that were received too often, do not count as visible.

Both numbers are exact for a table of up to 64 pages (of 8 kB), and as long as no more than 10,000
messages are ready, due, or hidden. Beyond that they are estimated, so that the cost does not grow
with the queue: from the rows on some of the pages (600 at most), as they are at that moment. After
bulk loads, deletes, leases, crashes and upgrades they are at once within 10 percent. They are worse
where the messages take less than a hundredth of the pages of their table, or the visible or hidden
ones, more than 10,000, less than a fiftieth of the messages.

While vacuum has yet to remove more than 100,000 dead rows, fewer hidden messages are estimated,
too.

Ages are in seconds, null when the queue is empty. Where hidden messages are estimated, the oldest
is that of the visible messages and of the 100 that are visible next. total_messages is the last
msg_id drawn. default_partition_length is the number of messages in the default partition of a
partitioned queue, null for other queues. Needs SELECT on the queue''s table and sequences.

The lengths of a stream are how many messages it keeps, whichever groups have read them. For what a
group has yet to read, see list_groups. total_messages leaves out the msg_ids that were passed over
at the end of segments.';

CREATE OR REPLACE FUNCTION pgmq._readable_table(queue_name text)
RETURNS regclass
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_name text;
BEGIN
    PERFORM pgmq._compiled('enqueue', queue_name);     -- an unknown queue is an error
    v_name := format('pgmq.%I', pgmq.format_table_name(queue_name, 'q'));
    IF NOT pgmq._may_measure(v_name::regclass) THEN
        RAISE EXCEPTION 'permission denied for table %', pgmq.format_table_name(queue_name, 'q')
            USING ERRCODE = 'insufficient_privilege',
                HINT = format(
                    'Its owner can SELECT pgmq.grant_monitor(%L, %L).', queue_name, current_user
                );
    END IF;
    -- From here on a drop of the queue waits. If it is dropped already, this raises 42P01.
    EXECUTE format('SELECT q.msg_id FROM %s AS q WHERE false', v_name);
    RETURN v_name::regclass;
END
$$;
COMMENT ON FUNCTION pgmq._readable_table(text) IS
'The table of a queue, locked; an error unless the caller may see the metrics of the queue.';

CREATE OR REPLACE FUNCTION pgmq._metrics(
    queue_name text,
    total bigint,
    visible bigint,
    oldest timestamptz,
    newest timestamptz,
    last_id bigint,
    default_partition_length bigint
)
RETURNS pgmq.metrics_result
LANGUAGE sql STABLE
AS $$
    -- One expression, so that it is inlined.
    SELECT ROW(
        queue_name, total, extract(epoch FROM now() - newest)::integer,
        extract(epoch FROM now() - oldest)::integer, last_id, now(), visible,
        default_partition_length
    )::pgmq.metrics_result
$$;
COMMENT ON FUNCTION pgmq._metrics(
    text, bigint, bigint, timestamptz, timestamptz, bigint, bigint
) IS
'What metrics() says of a queue, by its lengths and the times of its messages.';

CREATE OR REPLACE FUNCTION pgmq._is_dead_row(relation regclass, policy pgmq.policy)
RETURNS text
LANGUAGE sql STABLE
AS $$
    -- One expression, so that it is inlined.
    SELECT CASE
        WHEN (policy).max_receives IS NULL AND (policy).message_ttl IS NULL THEN 'false'
        ELSE pg_catalog.format(
            'pgmq._is_dead(q.read_ct, q.enqueued_at, %s, $1, %L, %L)',
            -- A header may hold a time-to-live, but a role that monitors may not see headers.
            CASE
                WHEN pg_catalog.has_column_privilege(relation::oid, 'headers'::text, 'SELECT'::text)
                    THEN 'q.headers'
                ELSE 'null'
            END,
            (policy).max_receives, (policy).message_ttl
        )
    END
$$;
COMMENT ON FUNCTION pgmq._is_dead_row(regclass, pgmq.policy) IS
'The condition, in SQL, for a visible row q to be dead by a policy; $1 is the time.';

CREATE OR REPLACE FUNCTION pgmq._is_short(size bigint, kind text)
RETURNS boolean
LANGUAGE sql STABLE
AS $$
    -- One expression, so that it is inlined.
    SELECT kind = 'r' AND size <= 64 * current_setting('block_size')::bigint
$$;
COMMENT ON FUNCTION pgmq._is_short(bigint, text) IS
'Whether the rows of a table are counted: it has up to 64 pages, and no partitions.';

CREATE OR REPLACE FUNCTION pgmq._counting(
    relation regclass,
    size bigint,
    policy pgmq.policy,
    with_states boolean         -- whether to count hidden messages by their state, too
)
RETURNS text
LANGUAGE sql STABLE
AS $$
    -- One expression, so that it is inlined. No column and no word more: with thousands of queues,
    -- to parse and plan makes the time.
    SELECT CASE
        -- Without pages, neither the table nor its indexes need to be opened.
        WHEN size = 0 AND with_states THEN
            'ROW(0::bigint, 0::bigint, null::timestamptz, null::timestamptz, 0::bigint, 0::bigint)'
        WHEN size = 0 THEN 'ROW(0::bigint, 0::bigint, null::timestamptz, null::timestamptz)'
        ELSE pg_catalog.format(
            '(SELECT ROW(count(*), count(*) FILTER (WHERE (vt <= $1 OR vt <= enqueued_at)%2$s),'
            ' min(enqueued_at), max(enqueued_at)%3$s) FROM %1$s AS q)',
            relation,
            CASE
                WHEN (policy).max_receives IS NOT NULL OR (policy).message_ttl IS NOT NULL
                    THEN pg_catalog.format(' AND NOT %s', pgmq._is_dead_row(relation, policy))
            END,
            CASE
                WHEN with_states THEN
                    ', count(*) FILTER ('
                    'WHERE vt > $1 AND vt > enqueued_at AND last_read_at IS NULL),'
                    ' count(last_read_at) FILTER (WHERE vt > $1 AND vt > enqueued_at)'
            END
        )
    END
$$;
COMMENT ON FUNCTION pgmq._counting(regclass, bigint, pgmq.policy, boolean) IS
'The expression that counts the messages of a short table of this size; a record.';

CREATE OR REPLACE FUNCTION pgmq._drawing(relation regclass)
RETURNS text
LANGUAGE sql STABLE
AS $$
    -- One expression, so that it is inlined. Like _sequence_value(), which is no subquery.
    SELECT coalesce(
        '(SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM '
        || pg_catalog.pg_get_serial_sequence(relation::text, 'msg_id'::text) || ')',
        '0::bigint'
    )
$$;
COMMENT ON FUNCTION pgmq._drawing(regclass) IS
'The expression for the last msg_id that a table has drawn, 0 before the first.

It is 0 as well for a table that has lost its sequence: doctor() says so.';

CREATE OR REPLACE FUNCTION pgmq._lengths(
    queue_name text,
    relation regclass,
    policy pgmq.policy,
    OUT total bigint,
    OUT visible bigint,
    OUT oldest timestamptz,
    OUT newest timestamptz,
    OUT delayed bigint,
    OUT in_flight bigint,
    OUT last_id bigint
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off SET max_parallel_workers_per_gather = 0
AS $$
DECLARE
    v_size CONSTANT bigint := pg_relation_size(relation);
    v_kind CONSTANT text := (SELECT c.relkind FROM pg_class AS c WHERE c.oid = relation);
BEGIN
    -- No statement in here, or below, is worth parallel workers: not to think of them is quicker.
    IF pgmq._is_short(v_size, v_kind) THEN
        EXECUTE format(
            'SELECT c.*, %s FROM unnest(ARRAY[%s]) AS c (total bigint, visible bigint,'
            ' oldest timestamptz, newest timestamptz, delayed bigint, in_flight bigint)',
            pgmq._drawing(relation), pgmq._counting(relation, v_size, policy, true)
        ) INTO total, visible, oldest, newest, delayed, in_flight, last_id USING clock_timestamp();
    ELSIF v_kind = 'p' AND pgmq._is_stream(relation) THEN
        SELECT s.total, s.total, s.oldest, s.newest, 0, 0, pgmq._drawn(queue_name, relation)
        INTO total, visible, oldest, newest, delayed, in_flight, last_id
        FROM pgmq._stream_lengths(relation) AS s;
    ELSE
        SELECT
            l.visible + l.dead + l.delayed + l.in_flight, l.visible, l.oldest, l.newest, l.delayed,
            l.in_flight, l.last_id
        INTO total, visible, oldest, newest, delayed, in_flight, last_id
        FROM pgmq._estimated_lengths(queue_name, relation, policy) AS l;
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._lengths(text, regclass, pgmq.policy) IS
'How many messages of a queue are in which state, and the times of the oldest and the newest.

They are counted if few, else estimated.';

CREATE OR REPLACE FUNCTION pgmq._default_length(relation regclass)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE
        WHEN (SELECT c.relkind FROM pg_class AS c WHERE c.oid = relation) <> 'p' THEN null
        WHEN pgmq._default_partition(relation) IS NULL THEN 0
        ELSE pgmq._default_rows(relation, 10000)
    END;
END
$$;
COMMENT ON FUNCTION pgmq._default_length(regclass) IS
'How many messages the default partition of a queue has; null for a queue without partitions.';

CREATE OR REPLACE FUNCTION pgmq._estimated_lengths(
    queue_name text,
    relation regclass,
    policy pgmq.policy,
    OUT visible bigint,
    OUT dead bigint,            -- visible but for the policy: expired, or received too often
    OUT delayed bigint,
    OUT in_flight bigint,
    OUT oldest timestamptz,
    OUT newest timestamptz,
    OUT last_id bigint
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_exact CONSTANT bigint := 10000;
    v_as_of CONSTANT timestamptz := clock_timestamp();
    v_is_dead CONSTANT text := pgmq._is_dead_row(relation, policy);
    v_sample record;
    v_counts_hidden boolean;
    v_counts_visible boolean;
    v_ready_mark bigint;
    v_parked_mark bigint;
    -- What was counted: of the visible messages, and of the hidden ones.
    v_ready bigint;
    v_due bigint;
    v_dead bigint;
    v_hidden bigint;
    v_leased bigint;
BEGIN
    -- Two comparisons, of which the first decides, cost less than one with greatest().
    SELECT s.is_whole, s.total, s.met[1] AS hidden, s.met[2] AS leased, s.met[3] AS dead
    INTO v_sample
    FROM pgmq._sample(
        relation, null,
        ARRAY[
            'q.vt > $1 AND q.vt > q.enqueued_at',
            'q.vt > $1 AND q.vt > q.enqueued_at AND q.last_read_at IS NOT NULL',
            CASE WHEN v_is_dead = 'false' THEN v_is_dead
                ELSE format('(q.vt <= $1 OR q.vt <= q.enqueued_at) AND %s', v_is_dead) END
        ],
        v_as_of
    ) AS s;
    EXECUTE format(
        $sql$
        SELECT
            %s,
            CASE WHEN r.is_called THEN r.last_value ELSE -9223372036854775808 END,
            CASE WHEN p.is_called THEN p.last_value ELSE 0 END
        FROM pgmq.%I AS r
        CROSS JOIN pgmq.%I AS p
        $sql$,
        pgmq._drawing(relation),
        pgmq._relation_name('ready_mark', queue_name),
        pgmq._relation_name('parked_mark', queue_name)
    ) INTO last_id, v_ready_mark, v_parked_mark;
    visible := v_sample.total - v_sample.hidden - v_sample.dead;
    dead := v_sample.dead;
    in_flight := v_sample.leased;
    delayed := v_sample.hidden - v_sample.leased;

    -- What seems to be few is counted from the live ends of the two indexes. An acknowledged lease
    -- leaves a dead entry at a future time, which no mark can pass: while vacuum cannot remove such
    -- entries, hidden messages are not looked for.
    v_counts_visible := v_sample.total - v_sample.hidden <= 1.5 * v_exact;
    v_counts_hidden := pgmq._dead_rows(relation) <= 10 * v_exact;
    EXECUTE format(
        $sql$
        SELECT
            count(*) FILTER (WHERE m.kind = 'ready'),
            count(*) FILTER (WHERE m.kind = 'due'),
            count(*) FILTER (WHERE m.is_dead),
            count(*) FILTER (WHERE m.kind = 'hidden'),
            count(*) FILTER (WHERE m.kind = 'hidden' AND m.last_read_at IS NOT NULL),
            min(m.enqueued_at),
            max(m.enqueued_at)
        FROM (
            (
                SELECT 'ready' AS kind, q.enqueued_at, q.last_read_at, %2$s AS is_dead
                FROM %1$s AS q
                WHERE q.vt <= q.enqueued_at AND q.msg_id >= $2
                ORDER BY q.msg_id
                LIMIT $4
            )
            UNION ALL
            (
                SELECT 'due', q.enqueued_at, q.last_read_at, %2$s
                FROM %1$s AS q
                WHERE q.vt > q.enqueued_at AND q.vt BETWEEN $3 AND $1
                ORDER BY q.vt
                LIMIT $4
            )
            UNION ALL
            (
                SELECT 'hidden', q.enqueued_at, q.last_read_at, false
                FROM %1$s AS q
                WHERE q.vt > q.enqueued_at AND q.vt > $1
                ORDER BY q.vt
                LIMIT $5
            )
            UNION ALL
            (
                SELECT 'last', q.enqueued_at, null, false
                FROM %1$s AS q
                WHERE q.msg_id > %3$s
                ORDER BY q.msg_id DESC
                LIMIT 1
            )
        ) AS m
        $sql$,
        relation, v_is_dead, last_id - v_exact
    ) INTO v_ready, v_due, v_dead, v_hidden, v_leased, oldest, newest
    USING
        v_as_of,
        v_ready_mark,
        to_timestamp(v_parked_mark / 1e6),
        CASE WHEN v_counts_visible THEN v_exact + 1 ELSE 1 END,
        CASE
            WHEN NOT v_counts_hidden THEN 0
            WHEN v_sample.hidden <= 1.5 * v_exact THEN v_exact + 1
            ELSE 100
        END;
    IF v_sample.is_whole THEN
        RETURN;
    END IF;
    IF v_counts_visible THEN
        IF greatest(v_ready, v_due) <= v_exact
            OR v_ready + v_due > visible + dead
        THEN
            visible := v_ready + v_due - v_dead;
            dead := v_dead;
        END IF;
    END IF;
    IF v_counts_hidden AND v_sample.hidden <= 1.5 * v_exact
        AND (v_hidden <= v_exact OR v_hidden > v_sample.hidden)
    THEN
        in_flight := v_leased;
        delayed := v_hidden - v_leased;
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._estimated_lengths(text, regclass, pgmq.policy) IS
'What _lengths() says of a long table: counted from the ends of the indexes, or by a sample.';

CREATE OR REPLACE FUNCTION pgmq._drawn(queue_name text, relation regclass)
RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_last bigint;
BEGIN
    EXECUTE 'SELECT ' || pgmq._drawing(relation) INTO v_last;
    RETURN v_last - coalesce((
        SELECT p.skipped_ids FROM pgmq._partitioning_of(queue_name, false) AS p
    ), 0);
END
$$;
COMMENT ON FUNCTION pgmq._drawn(text, regclass) IS
'The last msg_id that a queue has drawn, without those that a stream has passed over.';

CREATE OR REPLACE FUNCTION pgmq._stream_lengths(
    relation regclass,
    OUT total bigint,
    OUT oldest timestamptz,
    OUT newest timestamptz
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_exact CONSTANT bigint := 10000;
BEGIN
    EXECUTE format(
        $sql$
        SELECT count(*), (array_agg(m.enqueued_at ORDER BY m.msg_id))[1]
        FROM (
            SELECT q.msg_id, q.enqueued_at FROM %s AS q ORDER BY q.msg_id LIMIT $1 + 1
        ) AS m
        $sql$,
        relation
    ) INTO total, oldest USING v_exact;
    EXECUTE format('SELECT q.enqueued_at FROM %s AS q ORDER BY q.msg_id DESC LIMIT 1', relation)
    INTO newest;
    IF total > v_exact THEN
        total := greatest(total, (
            SELECT s.total FROM pgmq._sample(relation, null, '{false,false,false}', now()) AS s
        ));
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._stream_lengths(regclass) IS
'How many messages a stream keeps, whoever has read them, and the times of the two ends.';
