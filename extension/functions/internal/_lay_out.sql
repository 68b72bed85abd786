CREATE OR REPLACE FUNCTION pgmq._lay_out(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
    v_queue text := pgmq.format_table_name(queue_name, 'q');
    v_suffix text := pgmq._suffix(queue_name);
    v_ids text := pg_get_serial_sequence(format('pgmq.%I', v_queue), 'msg_id');
    v_mark text;
    v_looker oid := (SELECT c.relowner FROM pg_class AS c WHERE c.oid = 'pgmq.look'::regclass);
BEGIN
    -- Ready: never read and not delayed. Parked: delayed, in flight or returned. A lease moves a
    -- message from one to the other.
    PERFORM pgmq._add_index('ready_idx_', queue_name);
    PERFORM pgmq._add_index('parked_idx_', queue_name);
    -- Upstream's, which no query can use.
    EXECUTE format('DROP INDEX IF EXISTS pgmq.%I', v_queue || '_vt_idx');
    -- Upstream's name for it has the case of the queue's.
    IF queue_name <> v_suffix THEN
        EXECUTE format(
            'ALTER INDEX IF EXISTS pgmq.%I RENAME TO %I',
            'archived_at_idx_' || queue_name, 'archived_at_idx_' || v_suffix
        );
    END IF;

    FOREACH v_mark IN ARRAY ARRAY['ready_mark_', 'parked_mark_', 'sweep_due_'] LOOP
        PERFORM pgmq._add_mark(v_mark, queue_name);
    END LOOP;
    IF pgmq._partition_column(format('pgmq.%I', v_queue)) IS NOT NULL THEN
        PERFORM pgmq._lay_out_partitions(queue_name);
    END IF;
    -- Upstream's create_fifo_index() was called.
    IF to_regclass(format('pgmq.%I', v_queue || '_fifo_idx')) IS NOT NULL THEN
        PERFORM pgmq._lay_out_groups(queue_name);
    END IF;

    -- A crash empties an unlogged table, but its ids must not begin again: the archive has them.
    IF current_setting('server_version_num')::integer >= 150000
        AND (SELECT c.relpersistence FROM pg_class AS c WHERE c.oid = v_ids::regclass) = 'u'
    THEN
        EXECUTE format('ALTER SEQUENCE %s SET LOGGED', v_ids);
    END IF;

    -- Whoever monitors sees how a queue is doing, and no payload.
    IF EXISTS (
        SELECT FROM unnest(ARRAY['msg_id', 'read_ct', 'enqueued_at', 'last_read_at', 'vt']) AS c (name)
        WHERE NOT has_column_privilege(
            'pg_monitor', format('pgmq.%I', v_queue)::regclass, c.name, 'SELECT'
        )
    )
    THEN
        EXECUTE format(
            'GRANT SELECT (msg_id, read_ct, enqueued_at, last_read_at, vt) ON pgmq.%I TO pg_monitor',
            v_queue
        );
    END IF;
    IF NOT has_sequence_privilege('pg_monitor', v_ids, 'SELECT') THEN
        EXECUTE format('GRANT SELECT ON SEQUENCE %s TO pg_monitor', v_ids);
    END IF;
    -- _look_at() reads the next id.
    IF NOT has_sequence_privilege(v_looker, v_ids, 'SELECT') THEN
        EXECUTE format('GRANT SELECT ON SEQUENCE %s TO %s', v_ids, v_looker::regrole);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._lay_out(text) IS
'Bring the table of a queue to today''s layout: partial indexes, low-water marks; safe to repeat.';

-- A partitioned table has no key. Under a publication of deletes and updates, FOR ALL TABLES for
-- example, those of a table without a replica identity fail. (Unless wal_level is logical, it costs
-- nothing.)
CREATE OR REPLACE FUNCTION pgmq._add_replica_identity(relation regclass)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_table regclass;
BEGIN
    FOR v_table IN
        SELECT c.oid
        FROM pg_partition_tree(relation) AS t
        INNER JOIN pg_class AS c ON t.relid = c.oid
        WHERE c.relreplident = 'd' AND c.relkind IN ('r', 'p')
            AND NOT EXISTS (
                SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisprimary
            )
        ORDER BY t.level
    LOOP
        EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', v_table);
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._add_replica_identity(regclass) IS
'Have updates and deletes of a partitioned table published by the whole row.

Unless its partitions have a key or an identity of their own.';

-- The low-water marks live in sequences: no dead rows, no lock, readable without a plan. They
-- belong to the column vt, so that they go with the table and TRUNCATE ... RESTART IDENTITY
-- restarts them with the ids.
CREATE OR REPLACE FUNCTION pgmq._add_mark(prefix text, queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_queue regclass := format('pgmq.%I', pgmq.format_table_name(queue_name, 'q'));
    v_owner regrole := (SELECT c.relowner FROM pg_class AS c WHERE c.oid = v_queue);
    v_mark text := format('pgmq.%I', prefix || pgmq._suffix(queue_name));
BEGIN
    IF to_regclass(v_mark) IS NULL THEN
        EXECUTE format(
            'CREATE SEQUENCE %s MINVALUE -9223372036854775808 %s', v_mark,
            CASE WHEN v_owner = current_user::regrole THEN format('OWNED BY %s.vt', v_queue) END
        );
        EXECUTE format('GRANT SELECT ON SEQUENCE %s TO public', v_mark);
        IF v_owner <> current_user::regrole THEN
            EXECUTE format('ALTER SEQUENCE %s OWNER TO %s', v_mark, v_owner);
            EXECUTE format('ALTER SEQUENCE %s OWNED BY %s.vt', v_mark, v_queue);
        END IF;
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._add_mark(text, text) IS 'Create one low-water mark of a queue unless it is there.';

CREATE OR REPLACE FUNCTION pgmq._clear_look_due(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_wanted CONSTANT text := current_setting('lock_timeout');
    v_mark CONSTANT text := format('pgmq.%I', 'look_due_' || pgmq._suffix(queue_name));
BEGIN
    IF to_regclass(v_mark) IS NULL THEN
        RETURN;
    END IF;
    -- Whoever still runs the function of then has locked the table first.
    PERFORM set_config('lock_timeout', '100ms', true);
    EXECUTE format(
        'LOCK TABLE ONLY pgmq.%I IN SHARE ROW EXCLUSIVE MODE',
        pgmq.format_table_name(queue_name, 'q')
    );
    EXECUTE format('DROP SEQUENCE %s', v_mark);
    PERFORM set_config('lock_timeout', v_wanted, true);
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
    NULL;       -- another time: it does no harm
END
$$;
COMMENT ON FUNCTION pgmq._clear_look_due(text) IS
'Drop the sequence by which 2.0.0 spaced looks, unless the queue is in use.';

CREATE OR REPLACE FUNCTION pgmq._add_index(prefix text, queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_queue text := pgmq.format_table_name(queue_name, 'q');
    v_name text := prefix || pgmq._suffix(queue_name);
    v_index regclass := to_regclass(format('pgmq.%I', v_name));
BEGIN
    -- What CREATE INDEX CONCURRENTLY has left when it failed.
    IF NOT (SELECT i.indisvalid FROM pg_index AS i WHERE i.indexrelid = v_index) THEN
        EXECUTE format('DROP INDEX %s', v_index);
        v_index := null;
    END IF;
    -- IF NOT EXISTS would lock the table before it looks, and refuses whoever does not own it.
    IF EXISTS (
        SELECT FROM pg_class AS c WHERE c.oid = v_index AND pg_has_role(c.relowner, 'USAGE')
    )
    THEN
        RETURN;
    END IF;
    CASE prefix     -- upgrade/prepare.sql has the same definitions
        WHEN 'ready_idx_' THEN
            EXECUTE format(
                'CREATE INDEX IF NOT EXISTS %I ON pgmq.%I (msg_id) WHERE vt <= enqueued_at',
                v_name, v_queue
            );
        WHEN 'parked_idx_' THEN
            EXECUTE format(
                'CREATE INDEX IF NOT EXISTS %I ON pgmq.%I (vt) WHERE vt > enqueued_at',
                v_name, v_queue
            );
        WHEN 'msg_id_idx_' THEN
            EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON pgmq.%I (msg_id)', v_name, v_queue);
        WHEN 'fifo_idx_' THEN
            -- The expression of _group(), spelt out: an index must not depend on the extension. And
            -- not msg_id itself, or the planner might use this index to look messages up by msg_id,
            -- and read would return them in the order of their groups.
            EXECUTE format(
                $ddl$
                CREATE INDEX IF NOT EXISTS %I ON pgmq.%I (
                    hashtextextended(
                        coalesce(headers ->> 'x-pgmq-group', '_default_fifo_group'), 0
                    ),
                    (msg_id + 0)
                )
                $ddl$,
                v_name, v_queue
            );
    END CASE;
END
$$;
COMMENT ON FUNCTION pgmq._add_index(text, text) IS 'Create an index of a queue''s table, which its prefix names, unless it is there and valid.';
