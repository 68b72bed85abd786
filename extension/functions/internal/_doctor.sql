-- The parts of doctor(). Each returns its findings, none where all is well, and looks at nothing
-- that whoever monitors may not see.
CREATE OR REPLACE FUNCTION pgmq._doctor_horizon()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH patience AS (
        SELECT coalesce(
            nullif(current_setting('pgmq.doctor_patience', true), '')::interval, '5 min'
        ) AS length
    ),
    holders (holder, since, horizon, fix) AS (
        -- A transaction of another database holds nothing here; a standby's feedback does.
        SELECT
            CASE
                WHEN r.pid IS NOT NULL
                    THEN format(
                        'standby "%s" (feedback of process %s)', a.application_name, a.pid
                    )
                ELSE format(
                    'process %s (user "%s", application "%s", %s)',
                    a.pid, a.usename, a.application_name, coalesce(a.state, a.backend_type)
                )
            END,
            CASE WHEN r.pid IS NULL THEN a.xact_start END,
            least_xid.age,
            CASE
                WHEN r.pid IS NOT NULL
                    THEN 'End the long query on the standby, or set hot_standby_feedback = off there.'
                ELSE format('SELECT pg_terminate_backend(%s)', a.pid)
            END
        FROM pg_stat_activity AS a
        LEFT JOIN pg_stat_replication AS r ON a.pid = r.pid
        CROSS JOIN LATERAL (
            SELECT greatest(age(a.backend_xmin), age(a.backend_xid)) AS age
        ) AS least_xid
        WHERE a.pid <> pg_backend_pid()
            AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
            AND (a.datname = current_database() OR r.pid IS NOT NULL)
        UNION ALL
        SELECT
            format('prepared transaction "%s" of "%s"', p.gid, p.owner), p.prepared,
            age(p.transaction),
            format('ROLLBACK PREPARED %L, or COMMIT PREPARED', p.gid)
        FROM pg_prepared_xacts AS p
        WHERE p.database = current_database()
        UNION ALL
        SELECT
            format(
                'replication slot "%s" (%s)',
                s.slot_name, CASE WHEN s.active THEN 'active' ELSE 'not in use' END
            ),
            null, age(s.xmin),
            CASE
                WHEN s.active
                    THEN 'End the long query on the standby, or set hot_standby_feedback = off there.'
                ELSE format(
                    'Start what uses the slot, or SELECT pg_drop_replication_slot(%L)', s.slot_name
                )
            END
        FROM pg_replication_slots AS s
        WHERE s.xmin IS NOT NULL
    )
    SELECT
        CASE WHEN h.since < now() - interval '1 hour' THEN 'critical' ELSE 'warning' END,
        null::text,
        format(
            'no vacuum removes what was consumed since %s: held by %s',
            coalesce(
                to_char(h.since, 'YYYY-MM-DD HH24:MI:SS TZ'), format('%s transactions ago', h.horizon)
            ),
            h.holder
        ),
        h.fix
    FROM holders AS h
    CROSS JOIN patience AS p
    -- Where the time is not known, or not shown to the caller, by what has happened since.
    WHERE coalesce(h.since <= now() - p.length, h.horizon > 100000 OR p.length <= '0')
    ORDER BY h.horizon DESC
$$;
COMMENT ON FUNCTION pgmq._doctor_horizon() IS
'Who keeps vacuum from removing consumed messages: transactions, slots, standbys.

For longer than pgmq.doctor_patience (5 min unless set; 0 names all), or, where no time is known, for 100,000 transactions. Prepared transactions are among them.';

CREATE OR REPLACE FUNCTION pgmq._doctor_settings()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'critical', null::text, format('%s is off: nothing is vacuumed', s.name),
        format('ALTER SYSTEM SET %s = on; SELECT pg_reload_conf()', s.name)
    FROM pg_settings AS s
    WHERE s.name IN ('autovacuum', 'track_counts') AND s.setting = 'off'
    UNION ALL
    SELECT 'warning', null,
        format('autovacuum looks at a database only every %s s (autovacuum_naptime)', s.setting),
        'ALTER SYSTEM SET autovacuum_naptime = ''1min''; SELECT pg_reload_conf()'
    FROM pg_settings AS s
    WHERE s.name = 'autovacuum_naptime' AND s.setting::integer > 300
    UNION ALL
    SELECT 'warning', null,
        format(
            'autovacuum dirties no more than %s pages a second, which busy queues exceed',
            -- vacuum_cost_page_dirty is 20.
            (1000 * c.cost_limit / 20 / c.delay)::integer
        ),
        'ALTER SYSTEM SET autovacuum_vacuum_cost_delay = ''2ms''; SELECT pg_reload_conf()'
    FROM (
        SELECT
            current_setting('autovacuum_vacuum_cost_delay') AS shown,
            (SELECT s.setting::numeric FROM pg_settings AS s
            WHERE s.name = 'autovacuum_vacuum_cost_delay') AS delay,
            (SELECT coalesce(nullif(max(s.setting) FILTER (
                WHERE s.name = 'autovacuum_vacuum_cost_limit'), '-1'), max(s.setting) FILTER (
                WHERE s.name = 'vacuum_cost_limit'))::numeric
            FROM pg_settings AS s) AS cost_limit
    ) AS c
    WHERE c.delay > 0 AND 1000 * c.cost_limit / 20 / c.delay < 1000
$$;
COMMENT ON FUNCTION pgmq._doctor_settings() IS
'Settings of the server under which vacuum cannot keep up with queues.';

CREATE OR REPLACE FUNCTION pgmq._doctor_notifications()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    -- A session that listens reads notifications between its transactions, whatever its database.
    -- Which ones listen is not to be seen: but the oldest transaction is the likeliest.
    SELECT
        CASE WHEN u.usage > 0.9 THEN 'critical' ELSE 'warning' END, null::text,
        format(
            'the server''s queue of notifications is %s %% full: a session that listens stays in a '
            'transaction%s; commits that notify will fail',
            round(100 * u.usage::numeric),
            ', probably ' || a.holder
        ),
        CASE
            WHEN a.pid IS NULL THEN 'End the oldest transaction of a session that listens.'
            ELSE format('SELECT pg_terminate_backend(%s)', a.pid)
        END
    FROM pg_notification_queue_usage() AS u (usage)
    LEFT JOIN LATERAL (
        SELECT
            s.pid,
            format(
                'process %s (user "%s", application "%s", database "%s", since %s)',
                s.pid, s.usename, s.application_name, s.datname,
                to_char(s.xact_start, 'YYYY-MM-DD HH24:MI:SS TZ')
            ) AS holder
        FROM pg_stat_activity AS s
        WHERE s.backend_type = 'client backend' AND s.pid <> pg_backend_pid()
            AND s.xact_start IS NOT NULL
        ORDER BY s.xact_start
        LIMIT 1
    ) AS a ON true
    WHERE u.usage > 0.5
$$;
COMMENT ON FUNCTION pgmq._doctor_notifications() IS
'Whether the server''s queue of notifications fills up, and who probably keeps it from being emptied.';

CREATE OR REPLACE FUNCTION pgmq._doctor_tables()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    -- Materialized, or a planner that knows nothing of the catalogs looks at all of them for each
    -- queue.
    WITH queues AS MATERIALIZED (
        SELECT
            m.queue_name,
            to_regclass(format('pgmq.%I', pgmq.format_table_name(m.queue_name, 'q'))) AS relid
        FROM pgmq.meta AS m
    ),
    -- A partitioned queue's rows are in its partitions.
    parts AS MATERIALIZED (
        SELECT q.queue_name, q.relid FROM queues AS q WHERE q.relid IS NOT NULL
        UNION
        SELECT q.queue_name, p.relid
        FROM queues AS q
        INNER JOIN pg_partitioned_table AS k ON q.relid = k.partrelid
        CROSS JOIN pg_partition_tree(k.partrelid) AS p
    ),
    tables AS MATERIALIZED (
        SELECT
            t.queue_name, t.relid, c.reloptions, c.reltuples,
            pg_stat_get_live_tuples(t.relid) AS live,
            pg_stat_get_dead_tuples(t.relid) AS dead,
            pg_relation_size(t.relid) AS bytes,
            pg_indexes_size(t.relid) AS index_bytes,
            greatest(
                pg_stat_get_last_vacuum_time(t.relid), pg_stat_get_last_autovacuum_time(t.relid)
            ) AS vacuumed_at,
            pg_stat_get_last_autovacuum_time(t.relid) AS autovacuumed_at
        FROM parts AS t
        INNER JOIN pg_class AS c ON c.oid = t.relid
        WHERE c.relkind = 'r'
    )
    SELECT
        'warning', t.queue_name::text,
        format(
            '%s dead rows beside %s live ones in %s (%s, indexes %s), last vacuumed %s',
            t.dead, t.live, t.relid, pg_size_pretty(t.bytes), pg_size_pretty(t.index_bytes),
            coalesce(to_char(t.vacuumed_at, 'YYYY-MM-DD HH24:MI:SS TZ'), 'never')
        ),
        format('VACUUM %s; if that does not help, see who holds the horizon', t.relid)
    FROM tables AS t
    WHERE t.dead > 100000 AND t.dead > t.live
    UNION ALL
    -- A row has up to 2 kB here; what is longer lies elsewhere.
    SELECT
        'info', t.queue_name,
        format(
            '%s has less than one live row per page: %s, indexes %s, for %s rows',
            t.relid, pg_size_pretty(t.bytes), pg_size_pretty(t.index_bytes), t.live
        ),
        format(
            'New messages use the space again; to give it back, VACUUM (FULL) %s while nobody uses the queue',
            t.relid
        )
    FROM tables AS t
    WHERE t.bytes > 67108864 AND t.dead <= greatest(t.live, 100000)
        AND t.live < t.bytes / current_setting('block_size')::integer
    UNION ALL
    -- An entry of these indexes has up to 24 bytes; a vacuum empties pages, and leaves them there.
    SELECT
        'info', t.queue_name,
        format(
            'index %s has %s for %s rows, left by a burst or by a snapshot that was held',
            i.indexrelid::regclass, pg_size_pretty(pg_relation_size(i.indexrelid)), t.live
        ),
        format('REINDEX INDEX CONCURRENTLY %s', i.indexrelid::regclass)
    FROM tables AS t
    INNER JOIN pg_index AS i ON t.relid = i.indrelid
    WHERE t.index_bytes > 33554432 AND t.dead <= greatest(t.live, 100000)
        AND pg_relation_size(i.indexrelid) > 33554432 + 100 * t.live
    UNION ALL
    SELECT
        'info', t.queue_name,
        format(
            '%s rows of %s died since autovacuum came %s ago: it looks every %s s (autovacuum_naptime)',
            t.dead, t.relid, date_trunc('second', now() - t.autovacuumed_at), n.seconds
        ),
        'ALTER SYSTEM SET autovacuum_naptime = ''5s''; SELECT pg_reload_conf()'
    FROM tables AS t
    CROSS JOIN (
        SELECT s.setting::integer AS seconds FROM pg_settings AS s
        WHERE s.name = 'autovacuum_naptime'
    ) AS n
    WHERE n.seconds >= 15 AND t.dead > greatest(20000, t.live)
        AND t.autovacuumed_at > now() - 2 * n.seconds * interval '1 second'
    UNION ALL
    SELECT
        'critical', t.queue_name, format('autovacuum is switched off for %s', t.relid),
        format('ALTER TABLE %s RESET (autovacuum_enabled)', t.relid)
    FROM tables AS t
    WHERE EXISTS (
        SELECT FROM pg_options_to_table(t.reloptions) AS o
        WHERE o.option_name = 'autovacuum_enabled' AND NOT o.option_value::boolean
    )
    UNION ALL
    SELECT
        'info', t.queue_name,
        format('autovacuum waits until %s rows of %s are dead', w.rows::bigint, t.relid),
        format(
            'ALTER TABLE %s SET (autovacuum_vacuum_scale_factor = 0,'
            ' autovacuum_vacuum_threshold = 100000)',
            t.relid
        )
    FROM tables AS t
    CROSS JOIN LATERAL (
        SELECT
            coalesce(max(o.option_value) FILTER (
                WHERE o.option_name = 'autovacuum_vacuum_threshold'
            ), current_setting('autovacuum_vacuum_threshold'))::numeric
            + coalesce(max(o.option_value) FILTER (
                WHERE o.option_name = 'autovacuum_vacuum_scale_factor'
            ), current_setting('autovacuum_vacuum_scale_factor'))::numeric
            * greatest(t.reltuples, 0)::numeric AS rows
        FROM pg_options_to_table(t.reloptions) AS o
    ) AS w
    WHERE w.rows > 1000000
$$;
COMMENT ON FUNCTION pgmq._doctor_tables() IS
'Queues whose tables or indexes are bloated, or are vacuumed too late, too seldom or never.

Bloated is a table with more dead rows than live ones, or one that is mostly empty.';

CREATE OR REPLACE FUNCTION pgmq._doctor_compiled()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT
        CASE WHEN f.missing IS NULL THEN 'warning' ELSE 'critical' END, f.queue_name::text,
        concat_ws('; ',
            format('compiled functions are missing: %s', f.missing),
            'compiled functions are not those of the templates and the policy: ' || f.stale,
            'compiled functions do not belong to the owner of the table: ' || f.foreign_ones
        ),
        'SELECT pgmq.recompile_all()'
    FROM (
        SELECT
            d.queue AS queue_name,
            string_agg(d.template, ', ' ORDER BY d.template) FILTER (
                WHERE d.function IS NULL
            ) AS missing,
            string_agg(d.template, ', ' ORDER BY d.template) FILTER (WHERE d.is_stale) AS stale,
            string_agg(d.template, ', ' ORDER BY d.template) FILTER (
                WHERE d.is_foreign
            ) AS foreign_ones
        FROM pgmq._differences() AS d
        GROUP BY d.queue
    ) AS f
$$;
COMMENT ON FUNCTION pgmq._doctor_compiled() IS
'Queues whose compiled functions are missing, stale, or have another owner than the table.

Stale is what differs from the templates and the policy.';

CREATE OR REPLACE FUNCTION pgmq._doctor_relations()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH queues AS (
        SELECT
            m.queue_name::text,
            to_regclass(format('pgmq.%I', pgmq.format_table_name(m.queue_name, 'q'))) AS queue,
            to_regclass(format('pgmq.%I', pgmq.format_table_name(m.queue_name, 'a'))) AS archive,
            m.is_partitioned,
            pgmq._suffix(m.queue_name) AS suffix,
            pgmq._policy_of(m.queue_name) AS policy
        FROM pgmq.meta AS m
    )
    SELECT
        'critical', q.queue_name, 'the table of the queue is missing',
        format('Restore it, or SELECT pgmq.drop_queue(%L)', q.queue_name)
    FROM queues AS q
    WHERE q.queue IS NULL
    UNION ALL
    SELECT
        'critical', q.queue_name, format('the %s is missing', r.name),
        CASE
            WHEN r.kind = 'policy'
                THEN format('SELECT pgmq._lay_out_policy(pgmq.get_policy(%L))', q.queue_name)
            WHEN r.kind = 'archive' THEN format('SELECT pgmq.create(%L)', q.queue_name)
            ELSE format('SELECT pgmq._lay_out(%L)', q.queue_name)
        END
    FROM queues AS q
    CROSS JOIN LATERAL (
        VALUES
            ('archive', 'archive', q.archive),
            ('layout', 'index of ready messages', to_regclass(format('pgmq.%I', 'ready_idx_' || q.suffix))),
            ('layout', 'index of parked messages', to_regclass(format('pgmq.%I', 'parked_idx_' || q.suffix))),
            ('layout', 'low-water mark of ready messages', to_regclass(format('pgmq.%I', 'ready_mark_' || q.suffix))),
            ('layout', 'low-water mark of parked messages', to_regclass(format('pgmq.%I', 'parked_mark_' || q.suffix))),
            ('layout', 'mark of the first partition', CASE WHEN q.is_partitioned
                THEN to_regclass(format('pgmq.%I', 'floor_mark_' || q.suffix)) ELSE q.queue END),
            ('layout', 'mark of the last partition', CASE WHEN q.is_partitioned
                THEN to_regclass(format('pgmq.%I', 'top_mark_' || q.suffix)) ELSE q.queue END),
            ('policy', 'table of deduplication keys', CASE WHEN (q.policy).dedup_window IS NULL THEN q.queue
                ELSE to_regclass(format('pgmq.%I', 'dedup_' || q.suffix)) END),
            ('policy', 'index of leases', CASE WHEN (q.policy).max_in_flight IS NULL THEN q.queue
                ELSE to_regclass(format('pgmq.%I', 'in_flight_idx_' || q.suffix)) END)
    ) AS r (kind, name, relation)
    WHERE q.queue IS NOT NULL AND r.relation IS NULL
    UNION ALL
    SELECT
        'warning', null, format('pgmq.%I looks like the table of a queue that pgmq.meta does not know', c.relname),
        format(
            'SELECT pgmq.create(%L) to use it, or DROP TABLE pgmq.%I',
            substr(c.relname, 3), c.relname
        )
    FROM pg_class AS c
    WHERE c.relnamespace = 'pgmq'::regnamespace AND c.relkind IN ('r', 'p')
        AND NOT c.relispartition AND starts_with(c.relname, 'q_')
        AND NOT EXISTS (SELECT FROM queues AS q WHERE q.queue = c.oid)
        AND NOT EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid = c.oid)
        AND (
            SELECT count(*) FROM pg_attribute AS a
            WHERE a.attrelid = c.oid AND NOT a.attisdropped
                AND a.attname IN ('msg_id', 'read_ct', 'enqueued_at', 'vt', 'message')
        ) = 5
    UNION ALL
    SELECT
        'critical', q.queue_name, format('index %s is not valid', i.indexrelid::regclass),
        format('REINDEX INDEX CONCURRENTLY %s', i.indexrelid::regclass)
    FROM pg_index AS i
    INNER JOIN pg_class AS c ON c.oid = i.indrelid
    LEFT JOIN queues AS q
        ON coalesce(pg_partition_root(i.indrelid), i.indrelid) IN (q.queue, q.archive)
    WHERE c.relnamespace = 'pgmq'::regnamespace AND NOT (i.indisvalid AND i.indisready)
    UNION ALL
    SELECT
        'warning', q.queue_name,
        format(
            'msg_ids are drawn %s at a time by each session: messages come late, and out of order',
            s.seqcache
        ),
        format('ALTER SEQUENCE %s CACHE 1', s.seqrelid::regclass)
    FROM queues AS q
    INNER JOIN pg_sequence AS s
        ON s.seqrelid = pg_get_serial_sequence(q.queue::text, 'msg_id')::regclass
    WHERE s.seqcache > 1
    UNION ALL
    SELECT
        'info', q.queue_name,
        format(
            'the archive holds %s rows (%s) and nothing removes them',
            c.reltuples::bigint, pg_size_pretty(pg_total_relation_size(c.oid))
        ),
        'Set a policy with archive_retention, or remove old rows yourself.'
    FROM queues AS q
    INNER JOIN pg_class AS c ON c.oid = q.archive
    WHERE (q.policy).archive_retention IS NULL AND c.relkind = 'r' AND c.reltuples > 1000000
$$;
COMMENT ON FUNCTION pgmq._doctor_relations() IS
'Tables without their queue, queues without what they need, and archives that only grow.

What they need are tables, indexes, which must be valid, marks, and what their policy asks for.';

CREATE OR REPLACE FUNCTION pgmq._doctor_queues()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_callers CONSTANT oid[] := pgmq._powerful_callers();
    v_queue record;
    v_mark bigint;
    v_first bigint;
    v_count bigint;
    v_oldest timestamptz;
BEGIN
    FOR v_queue IN
        SELECT
            m.queue_name::text AS name,
            to_regclass(format('pgmq.%I', pgmq.format_table_name(m.queue_name, 'q'))) AS queue,
            NOT m.is_partitioned AS is_plain,
            to_regclass(
                format('pgmq.%I', 'ready_mark_' || pgmq._suffix(m.queue_name))
            ) AS ready_mark,
            (
                SELECT string_agg(quote_ident(p.queue_name), ', ' ORDER BY p.queue_name)
                FROM pgmq.policy AS p
                WHERE p.dead_letter_queue = m.queue_name
            ) AS sources
        FROM pgmq.meta AS m
        WHERE NOT (m.is_unlogged AND pg_is_in_recovery())   -- a standby does not have these
        ORDER BY m.queue_name
    LOOP
        CONTINUE WHEN v_queue.ready_mark IS NULL
            OR has_column_privilege(v_queue.queue, 'msg_id', 'SELECT') IS NOT true
            OR NOT has_column_privilege(v_queue.queue, 'vt', 'SELECT')
            OR NOT has_column_privilege(v_queue.queue, 'enqueued_at', 'SELECT')
            OR NOT has_sequence_privilege(v_queue.ready_mark, 'SELECT');
        IF NOT pgmq._is_safe_to_touch(v_queue.queue, v_callers) THEN
            severity := 'info';
            queue_name := v_queue.name;
            finding := 'its messages are not looked at: its owner could use your rights';
            fix := 'Call it as a member of pg_monitor without more rights.';
            RETURN NEXT;
            CONTINUE;
        END IF;
        -- Nothing to pass over, and no dead letters.
        CONTINUE WHEN v_queue.is_plain AND pg_relation_size(v_queue.queue) = 0;

        BEGIN
            v_mark := greatest(pgmq._sequence_value(v_queue.ready_mark), 1);
            EXECUTE format(
                'SELECT q.msg_id FROM %s AS q WHERE q.vt <= q.enqueued_at AND q.msg_id >= $1'
                ' ORDER BY q.msg_id LIMIT 1',
                v_queue.queue
            ) INTO v_first USING v_mark;
            IF v_first IS NULL AND has_sequence_privilege(
                pg_get_serial_sequence(v_queue.queue::text, 'msg_id'), 'SELECT'
            )
            THEN
                v_first := pgmq._sequence_value(
                    pg_get_serial_sequence(v_queue.queue::text, 'msg_id')::regclass
                );
            END IF;
            IF v_first - v_mark > 100000 THEN
                severity := 'warning';
                queue_name := v_queue.name;
                finding := format(
                    'reads pass over %s consumed messages: the low-water mark lags%s',
                    v_first - v_mark,
                    (
                        SELECT format('; process %s writes to the queue since %s', a.pid, a.xact_start)
                        FROM pg_locks AS l
                        INNER JOIN pg_stat_activity AS a ON l.pid = a.pid
                        WHERE l.relation = v_queue.queue AND l.mode = 'RowExclusiveLock'
                        ORDER BY a.xact_start
                        LIMIT 1
                    )
                );
                fix := format(
                    'SELECT pgmq.maintain(%L), as a transaction of its own', v_queue.name
                );
                RETURN NEXT;
            END IF;

            IF v_queue.sources IS NOT NULL THEN
                EXECUTE format(
                    'SELECT count(*), min(q.enqueued_at)'
                    ' FROM (SELECT d.enqueued_at FROM %s AS d ORDER BY d.msg_id LIMIT 100) AS q',
                    v_queue.queue
                ) INTO v_count, v_oldest;
                IF v_count >= 100 THEN
                    severity := 'info';
                    queue_name := v_queue.name;
                    finding := format(
                        'at least 100 dead letters of %s, the oldest of %s',
                        v_queue.sources, to_char(v_oldest, 'YYYY-MM-DD HH24:MI:SS TZ')
                    );
                    fix := format(
                        'See why: SELECT * FROM pgmq.peek(%1$L, 10), headers x-pgmq-dead-letter;'
                        ' then pgmq.redrive(%1$L) or pgmq.purge_queue(%1$L)',
                        v_queue.name
                    );
                    RETURN NEXT;
                END IF;
            END IF;
            -- Rolled back, it gives back its locks: thousands of queues would fill the lock table.
            RAISE EXCEPTION 'looked' USING ERRCODE = 'PGMQ0';
        EXCEPTION WHEN SQLSTATE 'PGMQ0' THEN
            NULL;
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._doctor_queues() IS
'Queues whose low-water mark lags, or that dead letters pile up in.';

CREATE OR REPLACE FUNCTION pgmq._doctor_archives()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_callers CONSTANT oid[] := pgmq._powerful_callers();
    v_queue record;
    v_count bigint;
    v_first bigint;
    v_last bigint;
BEGIN
    FOR v_queue IN
        SELECT
            m.queue_name::text AS name,
            to_regclass(format('pgmq.%I', pgmq.format_table_name(m.queue_name, 'q'))) AS queue,
            to_regclass(format('pgmq.%I', pgmq.format_table_name(m.queue_name, 'a'))) AS archive
        FROM pgmq.meta AS m
        WHERE NOT (m.is_unlogged AND pg_is_in_recovery())   -- a standby does not have these
        ORDER BY m.queue_name
    LOOP
        -- In a partitioned archive a msg_id may be twice.
        CONTINUE WHEN pg_relation_size(v_queue.archive) = 0
            OR has_column_privilege(v_queue.queue, 'msg_id', 'SELECT') IS NOT true
            OR has_column_privilege(v_queue.archive, 'msg_id', 'SELECT') IS NOT true
            OR NOT EXISTS (
                SELECT FROM pg_index AS i WHERE i.indrelid = v_queue.archive AND i.indisprimary
            )
            OR NOT pgmq._is_safe_to_touch(v_queue.queue, v_callers)
            OR NOT pgmq._is_safe_to_touch(v_queue.archive, v_callers);
        BEGIN
            EXECUTE format(
                'SELECT count(*), min(q.msg_id)'
                ' FROM (SELECT m.msg_id FROM %s AS m ORDER BY m.msg_id LIMIT 1000) AS q'
                ' WHERE EXISTS (SELECT FROM %s AS a WHERE a.msg_id = q.msg_id)',
                v_queue.queue, v_queue.archive
            ) INTO v_count, v_first;
            IF v_count > 0 THEN
                EXECUTE format(
                    'SELECT a.msg_id FROM %s AS a ORDER BY a.msg_id DESC LIMIT 1', v_queue.archive
                ) INTO v_last;
                severity := 'critical';
                queue_name := v_queue.name;
                finding := format(
                    '%s message%s among the oldest 1,000 cannot be archived: the archive has their msg_ids'
                    ' already, as it has msg_id %s; the greatest one there is %s',
                    v_count, CASE WHEN v_count <> 1 THEN 's' END, v_first, v_last
                );
                fix := format(
                    'Move the archived rows to a table of your own, and have new messages numbered from'
                    ' there: SELECT setval(%L, greatest(%s, (SELECT max(msg_id) FROM %s)))',
                    pg_get_serial_sequence(v_queue.queue::text, 'msg_id'), v_last, v_queue.queue
                );
                RETURN NEXT;
            END IF;
            -- Rolled back, it gives back its locks (see _doctor_queues).
            RAISE EXCEPTION 'looked' USING ERRCODE = 'PGMQ0';
        EXCEPTION WHEN SQLSTATE 'PGMQ0' THEN
            NULL;
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._doctor_archives() IS
'Queues with messages whose msg_id is in the archive already.

As after a restart of the identity column.';

CREATE OR REPLACE FUNCTION pgmq._doctor_partitions()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH tables AS (
        SELECT p.*, t.relation, pgmq._default_partition(t.relation) AS default_partition
        FROM pgmq.partitioning AS p
        CROSS JOIN LATERAL (
            SELECT to_regclass(format('pgmq.%I', pgmq.format_table_name(
                p.queue_name, CASE WHEN p.is_archive THEN 'a' ELSE 'q' END
            ))) AS relation
        ) AS t
    )
    SELECT
        'warning', t.queue_name, format('%s has %s messages', t.default_partition, r.rows),
        CASE
            WHEN m.schema_name IS NULL THEN format('SELECT pgmq.maintain(%L)', t.queue_name)
            ELSE format(
                'CALL %1$I.partition_data_proc(%2$L); and schedule %1$I.run_maintenance()',
                m.schema_name, format('pgmq.%s', c.relname)
            )
        END
    FROM tables AS t
    INNER JOIN pg_class AS c ON t.relation = c.oid
    -- Whoever monitors may not count what is in an archive.
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN has_column_privilege(t.relation, 'msg_id', 'SELECT')
                AND pgmq._is_safe_to_touch(t.relation)
                THEN pgmq._default_rows(t.relation, 10000)
            ELSE pg_stat_get_live_tuples(t.default_partition)
        END AS rows
    ) AS r
    CROSS JOIN pgmq._partman() AS m
    WHERE t.default_partition IS NOT NULL AND r.rows > 0
    UNION ALL
    SELECT
        'warning', t.queue_name,
        format(
            'retention has dropped %s messages, %s of them never read, the last %s',
            t.dropped_messages, t.dropped_unread,
            to_char(t.dropped_at, 'YYYY-MM-DD HH24:MI:SS TZ')
        ),
        'Read faster, or keep more: retention_interval in pgmq.partitioning'
    FROM tables AS t
    WHERE t.dropped_unread > 0 AND t.dropped_at > now() - interval '1 day'
    UNION ALL
    SELECT
        'warning', t.queue_name,
        concat(
            format(
                '%s %s, for its transactions do not end: %s has used it', t.relation, b.finding,
                h.holder
            ),
            to_char(h.since, '" since "YYYY-MM-DD HH24:MI:SS TZ')
        ),
        h.fix
    FROM tables AS t
    CROSS JOIN LATERAL (
        SELECT pgmq._partition_column(t.relation::text) AS name
    ) AS k
    CROSS JOIN LATERAL (
        SELECT CASE k.name
            WHEN 'msg_id' THEN coalesce(pg_sequence_last_value(pg_get_serial_sequence(
                format('pgmq.%I', pgmq.format_table_name(t.queue_name, 'q')), 'msg_id'
            )::regclass), 0)
            ELSE pgmq._microseconds(clock_timestamp())
        END AS key
    ) AS n
    CROSS JOIN LATERAL (
        SELECT 'has no partition for what comes next' AS finding
        WHERE NOT EXISTS (
            SELECT FROM pgmq._partitions(t.relation) AS p WHERE p.first_key > n.key
        )
        UNION ALL
        -- Those that should have gone a whole partition ago.
        SELECT 'keeps more than retention says'
        WHERE NOT (t.is_archive AND k.name = 'msg_id') AND EXISTS (
            SELECT FROM pgmq._partitions(t.relation) AS p
            WHERE 2 * p.end_key::numeric - p.first_key <= CASE k.name
                WHEN 'msg_id' THEN n.key - t.retention_interval::bigint
                ELSE pgmq._microseconds(clock_timestamp() - t.retention_interval::interval)
            END
        )
    ) AS b
    -- Upkeep waits for no longer than this on the back of other calls.
    CROSS JOIN LATERAL (
        SELECT
            CASE
                WHEN l.pid IS NULL THEN 'a prepared transaction'
                ELSE format('process %s (user "%s", %s)', l.pid, a.usename, a.state)
            END AS holder,
            a.xact_start AS since,
            CASE
                WHEN l.pid IS NULL THEN 'End it: see pg_prepared_xacts.'
                ELSE format('SELECT pg_terminate_backend(%s)', l.pid)
            END AS fix
        FROM pg_locks AS l
        LEFT JOIN pg_stat_activity AS a ON l.pid = a.pid
        WHERE l.locktype = 'relation' AND l.relation = t.relation AND l.granted
            AND l.database = (
                SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()
            )
            AND l.pid IS DISTINCT FROM pg_backend_pid()
            AND (a.xact_start > clock_timestamp() - interval '50 milliseconds') IS NOT TRUE
        ORDER BY a.xact_start NULLS FIRST
        LIMIT 1
    ) AS h
    CROSS JOIN pgmq._partman() AS m
    WHERE k.name IS NOT NULL AND m.schema_name IS NULL
$$;
COMMENT ON FUNCTION pgmq._doctor_partitions() IS
'Messages in default partitions, partitions that could neither be added nor dropped.

Also unread messages that retention has dropped within a day.';

CREATE OR REPLACE FUNCTION pgmq._doctor_channels()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pg_is_in_recovery() THEN
        RETURN;     -- a standby has no channels, which are in unlogged tables
    END IF;
    RETURN QUERY
        WITH channels AS (
            SELECT
                c.*,
                format(
                    'a channel with %s slots, opened %s',
                    c.maximum_messages, to_char(c.opened_at, 'YYYY-MM-DD HH24:MI:SS TZ')
                ) AS name,
                EXISTS (
                    SELECT FROM pg_locks AS l
                    WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.mode = 'ExclusiveLock'
                        AND l.classid = (pgmq._channel_locks()::bigint & 4294967295)::oid
                        AND l.objid = c.number::oid
                        AND l.database = (
                            SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()
                        )
                ) AS is_open
            FROM (
                -- Without the name, which whoever monitors may not see.
                SELECT
                    c.number, c.queue_name, c.maximum_messages, c.vt, c.pid, c.opened_at,
                    c.silent_since
                FROM pgmq.channel AS c
            ) AS c
        )
        SELECT
            'warning', c.queue_name, format('%s, has lost its session (process %s)', c.name, c.pid),
            'SELECT pgmq.close_dead_channels()'
        FROM channels AS c
        WHERE NOT c.is_open
        UNION ALL
        SELECT
            'warning', c.queue_name,
            format(
                '%s, has answered nothing since %s: process %s does not listen to it, or takes'
                ' longer than vt, %s s',
                c.name, to_char(c.silent_since, 'YYYY-MM-DD HH24:MI:SS TZ'), c.pid, c.vt
            ),
            format(
                'Let it call pgmq.close_channel(), or open a channel with a longer vt;'
                ' or SELECT pg_terminate_backend(%s)',
                c.pid
            )
        FROM channels AS c
        WHERE c.is_open AND c.silent_since < clock_timestamp() - 2 * make_interval(secs => c.vt);
END
$$;
COMMENT ON FUNCTION pgmq._doctor_channels() IS
'Push channels whose sessions are gone, or have let leases end without any answer.';

CREATE OR REPLACE FUNCTION pgmq._doctor_statistics()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH counters AS MATERIALIZED (
        SELECT pgmq._counters_began_at() AS began_at
    )
    SELECT
        'warning', m.queue_name,
        format(
            'the statistics of %s were lost, by a crash, pg_upgrade or a reset, %s:'
            ' metrics are estimated, and autovacuum does not know what there is to do',
            q.id, to_char(b.began_at, 'YYYY-MM-DD HH24:MI:SS TZ')
        ),
        format('VACUUM (ANALYZE) %s', q.id)
    FROM pgmq.meta AS m
    INNER JOIN counters AS b ON m.created_at < b.began_at
    CROSS JOIN to_regclass(format('pgmq.%I', pgmq.format_table_name(m.queue_name, 'q'))) AS q (id)
    -- Small ones are counted, and vacuumed soon. A standby has statistics of its own.
    WHERE NOT pg_is_in_recovery()
        AND CASE WHEN (
                SELECT sum(pg_relation_size(coalesce(t.relid, q.id)))
                FROM (VALUES (true)) AS one (row)
                LEFT JOIN pg_partition_tree(q.id) AS t ON t.isleaf
            ) > 1000000 THEN NOT pgmq._is_counted(q.id, m.created_at) END
$$;
COMMENT ON FUNCTION pgmq._doctor_statistics() IS
'Queues of some size of which a crash, pg_upgrade or a reset has left no statistics.';
