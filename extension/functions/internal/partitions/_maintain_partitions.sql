-- The upkeep goes in steps, each in a subtransaction of its own. If a step does not get a lock in
-- time, it ends and is tried again later. The locks of a step last until the transaction ends:
-- against writers if a partition is added, against everybody if messages are moved or a partition
-- is dropped.
CREATE OR REPLACE FUNCTION pgmq._maintain_partitions(
    queue_name text,
    is_archive boolean,
    thorough boolean
)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
SET lock_timeout = '50ms'
SET client_min_messages = warning
AS $$
DECLARE
    v_relation CONSTANT regclass := pgmq._queue_table(queue_name, is_archive);
    v_column CONSTANT text := pgmq._partition_column(v_relation::text);
    -- As part of another call the upkeep must be short; otherwise there is no limit.
    v_most_moved CONSTANT bigint := CASE WHEN thorough THEN 9e18 ELSE 10000 END;
    v_settings pgmq.partitioning;
    v_current_key bigint;
    v_drop_before bigint;
    v_moved bigint;
BEGIN
    SELECT t.* INTO v_settings
    FROM pgmq._partitioning_of(queue_name, is_archive) AS t;
    IF NOT FOUND OR v_column IS NULL THEN
        RETURN 0;
    END IF;
    IF thorough THEN
        PERFORM set_config('lock_timeout', '500ms', true);      -- see _must_not_wait
    END IF;
    IF pgmq._partman_keeps(v_relation) THEN
        RETURN CASE WHEN thorough THEN pgmq._partman_empty_default(v_relation) ELSE 0 END;
    END IF;
    IF thorough THEN
        PERFORM pgmq._add_default_partition(v_relation);
    END IF;

    IF pgmq._is_stream(v_relation) THEN
        PERFORM pgmq._end_segments(queue_name);
        v_drop_before := (
            SELECT max(s.end_id)
            FROM pgmq._ended_segments(queue_name) AS s
            WHERE s.old_since < clock_timestamp() AND NOT s.is_unread
        );
    ELSE
        v_drop_before := pgmq._retention_end(v_relation, v_column, v_settings.retention_interval);
    END IF;
    -- Who went back to a segment after the snapshot was taken, or changed the retention, is not seen.
    IF pgmq._keeps_snapshot() THEN
        IF EXISTS (
            SELECT FROM pgmq._partitions(v_relation) AS p WHERE p.end_key <= v_drop_before
        )
        THEN
            PERFORM pgmq._postpone_partitions(
                v_relation, thorough, 'only a READ COMMITTED transaction drops what is old'
            );
        END IF;
        v_drop_before := null;
    END IF;
    v_current_key := pgmq._current_key(queue_name, v_column);
    IF thorough AND NOT pgmq._lock_for_heavy_steps(v_relation, v_drop_before) THEN
        -- At least add the next partitions, unless messages have to be moved there.
        RETURN pgmq._add_next_partitions(v_relation, v_settings, v_current_key, 0, thorough);
    END IF;
    v_moved := pgmq._add_next_partitions(
        v_relation, v_settings, v_current_key, v_most_moved, thorough
    );
    v_moved := v_moved + pgmq._empty_default_partition(
        v_relation, v_settings, v_most_moved, thorough
    );
    PERFORM pgmq._drop_old_partitions(v_relation, v_settings, v_drop_before, thorough);
    RETURN v_moved;
END
$$;
COMMENT ON FUNCTION pgmq._maintain_partitions(text, boolean, boolean) IS
'Do the upkeep of the partitions of a queue or its archive: a step of each kind, or thoroughly.

It adds the next partitions, moves messages out of the default one, and drops those that retention
no longer keeps. Returns how many messages it moved.';

CREATE OR REPLACE FUNCTION pgmq._retention_end(
    relation regclass,
    partition_column text,
    retention_interval text
)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_key bigint;
BEGIN
    IF partition_column <> 'msg_id' THEN
        RETURN pgmq._microseconds(clock_timestamp() - retention_interval::interval);
    END IF;
    EXECUTE format('SELECT max(msg_id) - %L::bigint FROM %s', retention_interval, relation)
    INTO v_key;
    RETURN v_key;
END
$$;
COMMENT ON FUNCTION pgmq._retention_end(regclass, text, text) IS
'The key before which retention keeps nothing; null if it keeps everything, or there is nothing.';

CREATE OR REPLACE FUNCTION pgmq._lock_for_heavy_steps(relation regclass, drop_before bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_is_needed boolean;
BEGIN
    EXECUTE format(
        'SELECT EXISTS (SELECT FROM %s) OR EXISTS ('
        'SELECT FROM pgmq._partitions($1) AS p WHERE p.end_key <= $2)',
        pgmq._default_partition(relation)
    ) INTO v_is_needed USING relation, drop_before;
    IF v_is_needed THEN
        EXECUTE format(
            'LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE %s', relation,
            CASE WHEN pgmq._must_not_wait(relation) THEN 'NOWAIT' END
        );
    END IF;
    RETURN true;
EXCEPTION
    WHEN lock_not_available OR deadlock_detected THEN
        PERFORM pgmq._postpone_partitions(relation, true, SQLERRM);
        RETURN false;
END
$$;
COMMENT ON FUNCTION pgmq._lock_for_heavy_steps(regclass, bigint) IS
'Lock a table against everybody before heavy steps; false if it is in use.

Heavy steps move messages or drop partitions. The lock is taken once for all of them: if a later
step took a stronger lock, it and a reader could wait for each other.';

CREATE OR REPLACE FUNCTION pgmq._add_next_partitions(
    relation regclass,
    settings pgmq.partitioning,
    current_key bigint,
    most_moved bigint,
    thorough boolean
)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_partition record;
    v_key bigint := current_key;
    v_count integer := 0;       -- of partitions that follow each other, the current one included
    v_moved bigint;
    v_sum bigint := 0;
BEGIN
    LOOP
        FOR v_partition IN
            SELECT p.first_key, p.end_key FROM pgmq._partitions(relation) AS p
            WHERE p.end_key > v_key
            ORDER BY p.first_key
        LOOP
            EXIT WHEN v_partition.first_key > v_key OR v_count > settings.premake;
            v_key := v_partition.end_key;
            v_count := v_count + 1;
        END LOOP;
        EXIT WHEN v_count > settings.premake;
        IF NOT thorough THEN
            -- If there is no partition in advance, the next messages may lack theirs.
            PERFORM set_config(
                'lock_timeout', CASE WHEN v_count > 1 THEN '50ms' ELSE '250ms' END, true
            );
        END IF;
        v_moved := pgmq._try_partition(
            relation, settings.partition_interval, v_key, most_moved, thorough
        );
        EXIT WHEN v_moved IS NULL;
        v_sum := v_sum + v_moved;
    END LOOP;
    IF NOT thorough THEN
        PERFORM set_config('lock_timeout', '50ms', true);
    END IF;
    RETURN v_sum;
END
$$;
COMMENT ON FUNCTION pgmq._add_next_partitions(regclass, pgmq.partitioning, bigint, bigint, boolean) IS
'Add the current partition and the next ones if missing; return how many messages moved there.';

CREATE OR REPLACE FUNCTION pgmq._empty_default_partition(
    relation regclass,
    settings pgmq.partitioning,
    most_moved bigint,
    thorough boolean
)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_column CONSTANT text := pgmq._partition_column(relation::text);
    v_default regclass;
    v_key bigint;
    v_moved bigint;
    v_sum bigint := 0;
BEGIN
    LOOP
        v_default := pgmq._default_partition(relation);
        EXIT WHEN v_default IS NULL;
        EXECUTE format(
            'SELECT pgmq._partition_key(%1$I) FROM %2$s ORDER BY %1$I LIMIT 1',
            v_column, v_default
        ) INTO v_key;
        EXIT WHEN v_key IS NULL;
        v_moved := pgmq._try_partition(
            relation, settings.partition_interval, v_key, most_moved, thorough
        );
        EXIT WHEN v_moved IS NULL OR v_moved = 0;
        v_sum := v_sum + v_moved;
        EXIT WHEN NOT thorough;
    END LOOP;
    RETURN v_sum;
END
$$;
COMMENT ON FUNCTION pgmq._empty_default_partition(regclass, pgmq.partitioning, bigint, boolean) IS
'Move messages of the default partition to partitions of their own; return how many.

Unless thorough, only those for the first such partition.';

CREATE OR REPLACE FUNCTION pgmq._drop_old_partitions(
    relation regclass,
    settings pgmq.partitioning,
    drop_before bigint,
    thorough boolean
)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_partition regclass;
BEGIN
    FOR v_partition IN
        SELECT p.partition FROM pgmq._partitions(relation) AS p
        WHERE p.end_key <= drop_before
        ORDER BY p.end_key
        LIMIT CASE WHEN NOT thorough THEN 1 END
    LOOP
        BEGIN
            PERFORM pgmq._drop_partition(
                settings.queue_name, settings.is_archive, relation, v_partition
            );
        EXCEPTION
            WHEN lock_not_available OR deadlock_detected OR object_in_use THEN
                PERFORM pgmq._postpone_partitions(relation, thorough, SQLERRM);
                EXIT;
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._drop_old_partitions(regclass, pgmq.partitioning, bigint, boolean) IS
'Drop the partitions that retention no longer keeps: the oldest one, or thoroughly all.';

CREATE OR REPLACE FUNCTION pgmq._try_partition(
    relation regclass,
    partition_interval text,
    key bigint,
    most_moved bigint,
    thorough boolean
)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN pgmq._add_partition(relation, partition_interval, key, most_moved);
EXCEPTION
    WHEN lock_not_available OR deadlock_detected OR object_in_use THEN
        PERFORM pgmq._postpone_partitions(relation, thorough, SQLERRM);
        RETURN null;
END
$$;
COMMENT ON FUNCTION pgmq._try_partition(regclass, text, bigint, bigint, boolean) IS
'Add a partition (see _add_partition); null if others hold what must be locked.';
