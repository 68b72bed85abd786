CREATE OR REPLACE FUNCTION pgmq._lay_out(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
    v_queue text := pgmq.format_table_name(queue_name, 'q');
    v_ids text := pg_get_serial_sequence(format('pgmq.%I', v_queue), 'msg_id');
    v_looker CONSTANT regrole := pgmq._owner('pgmq.look'::regclass);
    v_is_stream CONSTANT boolean := pgmq._is_stream(format('pgmq.%I', v_queue)::regclass);
BEGIN
    IF v_is_stream THEN
        PERFORM pgmq._create_stream_tables(queue_name);     -- one may have been lost
        PERFORM pgmq._add_relations(queue_name, 'stream');
        PERFORM pgmq._add_relations(queue_name, 'partitions');
    ELSE
        PERFORM pgmq._lay_out_leases(queue_name);
    END IF;
    IF EXISTS (SELECT FROM pgmq._ticks_of(queue_name)) THEN
        PERFORM pgmq._add_relations(queue_name, 'schedules');
    END IF;

    -- A crash empties an unlogged table, but its ids must not begin again: the archive has them.
    IF current_setting('server_version_num')::integer >= 150000
        AND pgmq._is_unlogged(v_ids::regclass)
    THEN
        EXECUTE format('ALTER SEQUENCE %s SET LOGGED', v_ids);
    END IF;

    PERFORM pgmq._show_state(queue_name);
    -- _look_at() and _settled() read the next id.
    IF NOT has_sequence_privilege(v_looker, v_ids, 'SELECT') THEN
        EXECUTE format('GRANT SELECT ON SEQUENCE %s TO %s', v_ids, v_looker::regrole);
    END IF;
    -- Readers need it, to find the last partition with messages.
    IF v_is_stream AND NOT has_sequence_privilege('public', v_ids, 'SELECT') THEN
        EXECUTE format('GRANT SELECT ON SEQUENCE %s TO public', v_ids);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._lay_out(text) IS
'Bring the table of a queue to today''s layout: partial indexes, low-water marks; safe to repeat.';

CREATE OR REPLACE FUNCTION pgmq._show_state(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_queue CONSTANT regclass := pgmq._queue_table(queue_name);
    v_archive CONSTANT regclass := pgmq._queue_table(queue_name, true);
    v_ids CONSTANT text := pg_get_serial_sequence(v_queue::text, 'msg_id');
    v_columns CONSTANT text[] := CASE
        WHEN pgmq._is_stream(v_queue) THEN ARRAY['ctid', 'msg_id', 'enqueued_at', 'key_hash']
        ELSE ARRAY['ctid', 'msg_id', 'read_ct', 'enqueued_at', 'last_read_at', 'vt']
    END;
    v_role oid;
BEGIN
    IF EXISTS (
        SELECT FROM unnest(v_columns) AS c (name)
        WHERE NOT has_column_privilege('pg_monitor', v_queue, c.name, 'SELECT')
    ) THEN
        EXECUTE format(
            'GRANT SELECT (%s) ON %s TO pg_monitor', array_to_string(v_columns, ', '), v_queue
        );
    END IF;
    IF NOT has_column_privilege('pg_monitor', v_archive, 'ctid', 'SELECT') THEN
        EXECUTE format(
            'GRANT SELECT (ctid, msg_id, enqueued_at, archived_at) ON %s TO pg_monitor', v_archive
        );
    END IF;
    -- In 2.0.0, grant_monitor() gave no right to see on which page a message is.
    FOR v_role IN
        SELECT a.grantee
        FROM pg_attribute AS t
        CROSS JOIN aclexplode(t.attacl) AS a
        WHERE t.attrelid = v_queue AND t.attname = 'enqueued_at'
            AND a.privilege_type = 'SELECT' AND a.grantee <> 0
            AND NOT has_column_privilege(a.grantee, t.attrelid, 'ctid', 'SELECT')
    LOOP
        EXECUTE format('GRANT SELECT (ctid) ON %s TO %s', v_queue, v_role::regrole);
    END LOOP;
    -- In words of its own also where everybody may: which came first must make no difference.
    IF NOT EXISTS (
        SELECT FROM pg_class AS c
        CROSS JOIN aclexplode(c.relacl) AS a
        WHERE c.oid = v_ids::regclass AND a.grantee = 'pg_monitor'::regrole
    ) THEN
        EXECUTE format('GRANT SELECT ON SEQUENCE %s TO pg_monitor', v_ids);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._show_state(text) IS
'Let members of pg_monitor, and who was granted so, see the state of a queue, but no payload.';

CREATE OR REPLACE FUNCTION pgmq._index_called(name text, relation regclass)
RETURNS regclass
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- Of a long queue's name, what is left may be that of its table, or of another queue's index.
    SELECT i.indexrelid::regclass
    FROM pg_index AS i
    WHERE i.indexrelid = to_regclass(format('pgmq.%I', name)) AND i.indrelid = relation
$$;
COMMENT ON FUNCTION pgmq._index_called(text, regclass) IS
'The index of a table by a name that may be too long and cut off; null if it is missing.';

CREATE OR REPLACE FUNCTION pgmq._lay_out_leases(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
    v_queue CONSTANT text := pgmq.format_table_name(queue_name, 'q');
    v_table CONSTANT regclass := pgmq._queue_table(queue_name);
    v_archive CONSTANT regclass := pgmq._queue_table(queue_name, true);
    v_archived_at CONSTANT text := pgmq._relation_name('archived_at_idx', queue_name);
    v_index regclass;
BEGIN
    PERFORM pgmq._add_relations(queue_name, 'leases');
    -- Upstream's, which no query can use.
    v_index := pgmq._index_called(v_queue || '_vt_idx', v_table);
    IF v_index IS NOT NULL THEN
        EXECUTE format('DROP INDEX %s', v_index);
    END IF;
    -- Upstream's name for it has the case of the queue's, and names that differ only in case have one
    -- each.
    v_index := pgmq._index_called(format('archived_at_idx_%s', queue_name), v_archive);
    IF queue_name <> pgmq._suffix(queue_name) AND v_index IS NOT NULL THEN
        IF pgmq._index_called(v_archived_at, v_archive) IS NULL THEN
            EXECUTE format('ALTER INDEX %s RENAME TO %I', v_index, v_archived_at);
        ELSE
            EXECUTE format('DROP INDEX %s', v_index);
        END IF;
    END IF;

    IF pgmq._partition_column(format('pgmq.%I', v_queue)) IS NOT NULL THEN
        PERFORM pgmq._lay_out_partitions(queue_name);
    END IF;
    -- Upstream's create_fifo_index() was called.
    IF pgmq._index_called(v_queue || '_fifo_idx', v_table) IS NOT NULL THEN
        PERFORM pgmq._lay_out_groups(queue_name);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._lay_out_leases(text) IS
'Give a queue what finds its messages quickly, and take away what upstream had for it.';

CREATE OR REPLACE FUNCTION pgmq._lay_out_partitions(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
    v_queue CONSTANT text := pgmq.format_table_name(queue_name, 'q');
    v_ids CONSTANT text := pg_get_serial_sequence(format('pgmq.%I', v_queue), 'msg_id');
    v_index CONSTANT regclass := pgmq._index_called(
        v_queue || '_part_idx', pgmq._queue_table(queue_name)
    );
BEGIN
    IF v_index IS NOT NULL THEN     -- upstream's name for it
        EXECUTE format(
            'ALTER INDEX %s RENAME TO %I', v_index, pgmq._relation_name('part_idx', queue_name)
        );
    END IF;
    PERFORM pgmq._add_relations(queue_name, 'partitioned');
    PERFORM pgmq._add_relations(queue_name, 'partitions');
    IF pgmq._partition_column(format('pgmq.%I', v_queue)) <> 'msg_id' THEN
        PERFORM pgmq._add_relations(queue_name, 'by_time');
    END IF;
    -- Readers need it to find the last partition with messages.
    IF NOT has_sequence_privilege('public', v_ids, 'SELECT') THEN
        EXECUTE format('GRANT SELECT ON SEQUENCE %s TO public', v_ids);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._lay_out_partitions(text) IS
'Give a partitioned queue what finds messages in its partitions; safe to repeat.

These are an index of msg_id, and marks that bound the partition keys of its messages.';

CREATE OR REPLACE FUNCTION pgmq._lay_out_groups(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
    v_queue CONSTANT text := pgmq.format_table_name(queue_name, 'q');
    v_index CONSTANT regclass := pgmq._index_called(
        v_queue || '_fifo_idx', pgmq._queue_table(queue_name)
    );
BEGIN
    PERFORM pgmq._add_relations(queue_name, 'fifo');
    -- Upstream's, which none of these functions can use.
    IF v_index IS NOT NULL THEN
        EXECUTE format('DROP INDEX %s', v_index);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._lay_out_groups(text) IS
'Give a queue what finds FIFO groups quickly; safe to repeat.

These are an index by group, and a mark below which there is no message.';

CREATE OR REPLACE FUNCTION pgmq._lay_out_turns(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
BEGIN
    PERFORM pgmq._add_relations(queue_name, 'fair');
END
$$;
COMMENT ON FUNCTION pgmq._lay_out_turns(text) IS
'Give a queue what finds the next groups in turn, and their messages; safe to repeat.';

CREATE OR REPLACE FUNCTION pgmq._lay_out_policy(policy pgmq.policy)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
    v_queue CONSTANT regclass := pgmq._queue_table(policy.queue_name);
    v_in_flight CONSTANT text := pgmq._relation_name('in_flight_idx', policy.queue_name);
    v_dedup CONSTANT text := pgmq._relation_name('dedup', policy.queue_name);
    v_has_keys CONSTANT boolean := policy.dedup_window IS NOT NULL OR pgmq._is_pending(policy);
BEGIN
    IF policy.max_in_flight IS NOT NULL THEN
        PERFORM pgmq._add_relations(policy.queue_name, 'max_in_flight');
    ELSIF to_regclass(format('pgmq.%I', v_in_flight)) IS NOT NULL
        -- Otherwise the index is left for the next change.
        AND NOT pgmq._holds_up_writers(v_queue)
    THEN
        EXECUTE format('DROP INDEX pgmq.%I', v_in_flight);
    END IF;

    -- They stay when the limit is off: read_fair needs them, too.
    IF policy.max_in_flight_per_group IS NOT NULL THEN
        PERFORM pgmq._lay_out_turns(policy.queue_name);
    END IF;

    -- The sequence stays when it is off: to drop it would wait for open readers, and new readers
    -- would wait for that.
    IF policy.rate_limit IS NOT NULL THEN
        PERFORM pgmq._add_relations(policy.queue_name, 'rate_limit');
    END IF;

    IF policy.priorities THEN
        IF NOT pgmq._has_ranks(policy.queue_name) THEN
            -- Those of an earlier time know nothing of what came since.
            PERFORM setval(m.mark, CASE WHEN r.role ~ '^ready' THEN -9223372036854775808 ELSE 0 END)
            FROM pgmq._relations(policy.queue_name) AS r
            CROSS JOIN to_regclass(format('pgmq.%I', r.name)) AS m (mark)
            WHERE r.needed_by = 'priorities' AND r.kind = 'sequence' AND m.mark IS NOT NULL;
        END IF;
        PERFORM pgmq._add_relations(policy.queue_name, 'priorities');
    ELSIF pgmq._has_ranks(policy.queue_name) AND NOT pgmq._holds_up_writers(v_queue) THEN
        -- The marks stay: a call that began before may still ask for them.
        EXECUTE format(
            'DROP INDEX IF EXISTS pgmq.%I, pgmq.%I',
            pgmq._relation_name('ready_rank_idx', policy.queue_name),
            pgmq._relation_name('parked_rank_idx', policy.queue_name)
        );
    END IF;

    -- The keys of the messages that were sent. They outlive the messages, but a crash that empties
    -- the queue must empty them, too.
    IF to_regclass(format('pgmq.%I', v_dedup)) IS NOT NULL THEN
        IF NOT v_has_keys THEN
            -- The table stays: to drop it would wait for open senders, and new senders would wait
            -- for that. Rows that an open sender holds are left.
            EXECUTE format(
                $dml$
                DELETE FROM pgmq.%1$I AS d
                WHERE d.ctid = ANY (ARRAY(SELECT t.ctid FROM pgmq.%1$I AS t FOR UPDATE SKIP LOCKED))
                $dml$,
                v_dedup
            );
        END IF;
    ELSIF v_has_keys THEN
        EXECUTE format(
            $ddl$
            CREATE %s TABLE pgmq.%I (
                dedup_key text COLLATE "C" PRIMARY KEY,
                msg_id bigint,      -- null until the message is stored
                sent_at timestamptz NOT NULL
            )
            $ddl$,
            CASE WHEN pgmq._is_unlogged(v_queue) THEN 'UNLOGGED' END,
            v_dedup
        );
        PERFORM pgmq._build_index('sent_at_idx', policy.queue_name);
    END IF;
    -- It tells, with the msg_id, whether a message is still in the queue.
    IF pgmq._is_pending(policy) AND NOT EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = to_regclass(format('pgmq.%I', v_dedup)) AND a.attname = 'enqueued_at'
    )
    THEN
        EXECUTE format('ALTER TABLE pgmq.%I ADD COLUMN enqueued_at timestamptz', v_dedup);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._lay_out_policy(pgmq.policy) IS
'Give a queue the relations that its policy needs, and take away the others.';
