CREATE OR REPLACE FUNCTION pgmq._add_default_partition(relation regclass)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pgmq._default_partition(relation) IS NULL THEN
        EXECUTE format(
            'CREATE TABLE pgmq.%I PARTITION OF %s DEFAULT',
            pgmq._partition_name(relation, '_default'), relation
        );
        EXECUTE format(
            'ALTER TABLE %s OWNER TO %s', pgmq._default_partition(relation), pgmq._owner(relation)
        );
        PERFORM pgmq._add_replica_identity(relation);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._add_default_partition(regclass) IS
'Give a table a default partition unless it has one.';

CREATE OR REPLACE FUNCTION pgmq._new_range(
    relation regclass,
    partition_interval text,
    key bigint,
    OUT first_key bigint,
    OUT end_key bigint
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_before bigint;
    v_after bigint;
BEGIN
    SELECT
        max(p.end_key) FILTER (WHERE p.end_key <= _new_range.key),
        min(p.first_key) FILTER (WHERE p.first_key > _new_range.key)
    INTO v_before, v_after
    FROM pgmq._partitions(relation) AS p;
    first_key := pgmq._partition_start(
        partition_interval, key,
        coalesce(v_before, v_after, pgmq._partition_anchor(partition_interval))
    );
    end_key := least(pgmq._partition_end(partition_interval, first_key), v_after);
    first_key := greatest(first_key, v_before);
END
$$;
COMMENT ON FUNCTION pgmq._new_range(regclass, text, bigint) IS
'The range of a new partition for this key: as long as the interval, or up to its neighbours.';

-- A writer knows the partitions as they are when it first locks the table. A message for which it
-- knows none goes to the default partition; if such a partition was attached meanwhile, Postgres
-- refuses the message. So a partition is attached only while no open transaction has written to the
-- table that could have a message for it. Messages can be moved out of the default partition only
-- while nobody uses the table: a statement that was planned before, and had to wait for its locks,
-- would look for them in the old place.
CREATE OR REPLACE FUNCTION pgmq._add_partition(
    relation regclass,
    partition_interval text,
    key bigint,
    most_moved bigint
)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_column CONSTANT text := pgmq._partition_column(relation::text);
    v_default CONSTANT regclass := pgmq._default_partition(relation);
    v_keys record;
    v_from text;
    v_to text;
    v_in_range text;
    v_name text;
    v_columns text;
    v_count bigint := 0;
    v_locks_writers boolean;
BEGIN
    -- One session at a time. Another may have added the partition already.
    EXECUTE format(
        'LOCK TABLE ONLY %s IN SHARE UPDATE EXCLUSIVE MODE %s', relation,
        CASE WHEN pgmq._must_not_wait(relation) THEN 'NOWAIT' END
    );
    IF EXISTS (
        SELECT FROM pgmq._partitions(relation) AS p
        WHERE _add_partition.key >= p.first_key AND _add_partition.key < p.end_key
    )
    THEN
        RETURN 0;
    END IF;
    v_keys := pgmq._new_range(relation, partition_interval, key);
    v_from := pgmq._partition_literal(v_column, v_keys.first_key);
    v_to := pgmq._partition_literal(v_column, v_keys.end_key);
    v_in_range := format('%1$I >= %2$L AND %1$I < %3$L', v_column, v_from, v_to);
    v_name := pgmq._partition_name(
        relation, pgmq._partition_suffix(partition_interval, v_keys.first_key)
    );
    IF to_regclass(format('pgmq.%I', v_name)) IS NOT NULL THEN
        -- The name is taken by a detached partition, or by one with other bounds.
        v_name := left(v_name, 2) || md5(format('%s %s', v_name, clock_timestamp()));
    END IF;

    IF v_default IS NOT NULL THEN
        EXECUTE format(
            'SELECT count(*) FROM (SELECT FROM %s WHERE %s LIMIT %s) AS m',
            v_default, v_in_range, most_moved + 1
        ) INTO v_count;
        IF v_count > most_moved THEN
            RETURN null;
        END IF;
    END IF;
    -- A message has the time at which its transaction began, so open transactions have no messages
    -- for later times.
    v_locks_writers := v_count > 0 OR v_column = 'msg_id'
        OR v_keys.first_key < pgmq._microseconds(clock_timestamp() + interval '1 minute');
    IF v_locks_writers THEN
        -- EXCLUSIVE waits also for a reader that has locked messages and is about to update them.
        EXECUTE format(
            'LOCK TABLE ONLY %s IN %s MODE %s', relation,
            CASE WHEN v_count > 0 THEN 'ACCESS EXCLUSIVE' ELSE 'EXCLUSIVE' END,
            CASE WHEN pgmq._must_not_wait(relation) THEN 'NOWAIT' END
        );
    END IF;
    IF v_default IS NOT NULL THEN
        -- A transaction that uses the default partition may be waiting for the lock above.
        EXECUTE format(
            'LOCK TABLE %s IN ACCESS EXCLUSIVE MODE %s', v_default,
            CASE WHEN v_locks_writers OR pgmq._must_not_wait(v_default) THEN 'NOWAIT' END
        );
        IF v_count = 0 THEN
            EXECUTE format(
                'SELECT count(*) FROM (SELECT FROM %s WHERE %s LIMIT 1) AS m', v_default, v_in_range
            ) INTO v_count;
            IF v_count > 0 THEN
                RAISE EXCEPTION 'messages for partition % have just come', v_name
                    USING ERRCODE = 'lock_not_available';
            END IF;
        END IF;
    END IF;
    EXECUTE format(
        'CREATE TABLE pgmq.%I (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE'
        ' INCLUDING GENERATED)',
        v_name, relation
    );
    EXECUTE format('ALTER TABLE pgmq.%I OWNER TO %s', v_name, pgmq._owner(relation));
    IF v_count > 0 THEN
        -- A lease does not end by being moved, as the triggers of push delivery would think.
        EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', v_default);
        v_columns := (
            SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
            FROM pg_attribute AS a
            WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
                AND a.attgenerated = ''
        );
        EXECUTE format(
            $dml$
            WITH moved AS (DELETE FROM %1$s WHERE %2$s RETURNING %3$s)
            INSERT INTO pgmq.%4$I (%3$s) SELECT %3$s FROM moved
            $dml$,
            v_default, v_in_range, v_columns, v_name
        );
        GET DIAGNOSTICS v_count = ROW_COUNT;
        EXECUTE format('ALTER TABLE %s ENABLE TRIGGER USER', v_default);
    END IF;
    IF (SELECT c.relreplident FROM pg_class AS c WHERE c.oid = relation) = 'f' THEN
        EXECUTE format('ALTER TABLE pgmq.%I REPLICA IDENTITY FULL', v_name);
    END IF;
    EXECUTE format(
        'ALTER TABLE %s ATTACH PARTITION pgmq.%I FOR VALUES FROM (%L) TO (%L)',
        relation, v_name, v_from, v_to
    );
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION pgmq._add_partition(regclass, text, bigint, bigint) IS
'Add a partition for a key that has none yet, and return how many messages were moved there.

These are the messages that the default partition held for it. If they are more than most_moved,
nothing is done and null is returned.';

CREATE OR REPLACE FUNCTION pgmq._drop_partition(
    queue_name text,
    is_archive boolean,
    relation regclass,
    partition regclass
)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_is_stream CONSTANT boolean := NOT is_archive AND pgmq._is_stream(relation);
    v_messages bigint;
    v_unread bigint;
BEGIN
    EXECUTE format(
        'LOCK TABLE ONLY %s IN SHARE UPDATE EXCLUSIVE MODE %s', relation,
        CASE WHEN pgmq._must_not_wait(relation) THEN 'NOWAIT' END
    );
    IF NOT EXISTS (
        SELECT FROM pg_inherits AS i WHERE i.inhparent = relation AND i.inhrelid = partition
    )
    THEN
        RETURN;     -- another has done it
    END IF;
    -- The messages were counted before everybody is locked out; nobody changes them any more.
    EXECUTE format(
        'LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE %s', partition,
        CASE WHEN pgmq._must_not_wait(partition) THEN 'NOWAIT' END
    );
    EXECUTE format(
        'SELECT count(*), count(*) FILTER (WHERE %s) FROM %s',
        CASE
            WHEN v_is_stream THEN format(
                'msg_id > %L', (SELECT min(l.done) FROM pgmq._lanes(queue_name) AS l)
            )
            ELSE 'read_ct = 0'
        END,
        partition
    ) INTO v_messages, v_unread;
    EXECUTE format(
        'LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE %s', relation,
        CASE WHEN pgmq._must_not_wait(relation) THEN 'NOWAIT' END
    );
    -- Meanwhile a group may have gone back to it: who does that locks the table first.
    IF v_is_stream AND EXISTS (
        SELECT FROM pgmq._ended_segments(queue_name) AS s
        INNER JOIN pgmq._partitions(relation) AS p
            ON s.first_id >= p.first_key AND s.first_id < p.end_key
        WHERE p.partition = _drop_partition.partition AND s.is_unread
    )
    THEN
        RETURN;
    END IF;
    IF NOT is_archive AND v_messages > 0 THEN
        RAISE LOG 'retention drops partition % of queue "%" with % messages, % of them never read',
            partition, queue_name, v_messages, v_unread;
        UPDATE pgmq.partitioning AS t
        SET dropped_messages = t.dropped_messages + v_messages,
            dropped_unread = t.dropped_unread + v_unread,
            dropped_at = clock_timestamp()
        WHERE t.queue_name = _drop_partition.queue_name AND t.is_archive = _drop_partition.is_archive;
    END IF;
    IF v_is_stream THEN
        DELETE FROM pgmq.stream_segment AS s
        USING pgmq._partitions(relation) AS p
        WHERE s.queue_name = _drop_partition.queue_name AND p.partition = _drop_partition.partition
            AND s.first_id >= p.first_key AND s.first_id < p.end_key;
    END IF;
    EXECUTE format('DROP TABLE %s', partition);
END
$$;
COMMENT ON FUNCTION pgmq._drop_partition(text, boolean, regclass, regclass) IS
'Drop a partition that retention no longer keeps, and record the messages that were still in it.';

CREATE OR REPLACE FUNCTION pgmq._postpone_partitions(
    relation regclass,
    thorough boolean,
    reason text
)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF thorough THEN
        RAISE WARNING 'partitions of table % are left for later: %', relation, reason;
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._postpone_partitions(regclass, boolean, text) IS
'Warn, if pgmq.maintain() was called, that a lock was not obtained in time.';
