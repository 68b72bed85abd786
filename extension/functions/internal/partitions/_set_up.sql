CREATE OR REPLACE FUNCTION pgmq._start_partitioning(
    queue_name text,
    is_archive boolean,
    partition_interval text,
    retention_interval text,
    premake integer
)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
    v_relation CONSTANT regclass := pgmq._queue_table(queue_name, is_archive);
    v_interval CONSTANT text := pgmq._partition_interval(partition_interval);
BEGIN
    INSERT INTO pgmq.partitioning (
        queue_name, is_archive, partition_interval, retention_interval, premake
    )
    VALUES (
        _start_partitioning.queue_name, _start_partitioning.is_archive, v_interval,
        _start_partitioning.retention_interval, _start_partitioning.premake
    );
    IF (SELECT p.schema_name FROM pgmq._partman() AS p) IS NOT NULL THEN
        PERFORM pgmq._partman_take_over(
            v_relation, partition_interval, retention_interval, premake,
            -- An archive needs new partitions even if nothing is archived for a while.
            is_endless => is_archive
            AND pgmq._partition_column(pgmq._queue_table(queue_name)::text) IS NULL
        );
        PERFORM pgmq._add_replica_identity(v_relation);
        RETURN;
    END IF;
    PERFORM pgmq._add_default_partition(v_relation);
    PERFORM pgmq._add_first_partitions(v_relation, v_interval, premake);
END
$$;
COMMENT ON FUNCTION pgmq._start_partitioning(text, boolean, text, text, integer) IS
'Store the settings of a new partitioned table, and create its first partitions.

If pg_partman is installed, it creates them, and maintains the table from then on.';

CREATE OR REPLACE FUNCTION pgmq._add_first_partitions(
    relation regclass,
    partition_interval text,
    premake integer
)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_current bigint := 0;
    v_key bigint := 0;
    v_left integer := premake;
BEGIN
    -- By time, as many before now as after: a transaction may have begun a while ago.
    IF NOT pgmq._is_id_interval(partition_interval) THEN
        v_current := pgmq._partition_start(
            partition_interval, pgmq._microseconds(clock_timestamp()),
            pgmq._partition_anchor(partition_interval)
        );
        v_key := v_current;
        FOR i IN 1..premake LOOP
            v_key := pgmq._partition_start(partition_interval, v_key - 1, v_current);
        END LOOP;
    END IF;
    LOOP
        PERFORM pgmq._add_partition(relation, partition_interval, v_key, 0);
        EXIT WHEN v_key >= v_current AND v_left = 0;
        v_left := v_left - (v_key >= v_current)::integer;
        v_key := pgmq._partition_end(partition_interval, v_key);
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._add_first_partitions(regclass, text, integer) IS
'Add the current partition of an empty table and those in advance.';

CREATE OR REPLACE FUNCTION pgmq._adopt_partitions(queue_name text, is_archive boolean)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
SET timezone = 'UTC'
AS $$
DECLARE
    v_relation CONSTANT regclass := pgmq._queue_table(queue_name, is_archive);
    v_column CONSTANT text := pgmq._partition_column(v_relation::text);
    v_settings record;
BEGIN
    IF v_column IS NULL OR EXISTS (
        SELECT FROM pgmq.partitioning AS t
        WHERE t.queue_name = _adopt_partitions.queue_name
            AND t.is_archive = _adopt_partitions.is_archive
    )
    THEN
        RETURN;
    END IF;
    IF pgmq._partman_keeps(v_relation) THEN
        v_settings := pgmq._partman_settings(v_relation);
    ELSE
        -- The table was left without pg_partman. Its newest partition tells the interval. Nothing
        -- tells how long messages were to be kept.
        SELECT
            coalesce(
                (
                    SELECT CASE v_column
                        WHEN 'msg_id' THEN (p.end_key - p.first_key)::text
                        ELSE age(
                            to_timestamp(p.end_key / 1000000), to_timestamp(p.first_key / 1000000)
                        )::text
                    END
                    FROM pgmq._partitions(v_relation) AS p
                    ORDER BY p.end_key DESC
                    LIMIT 1
                ),
                CASE v_column WHEN 'msg_id' THEN '10000' ELSE '1 day' END
            ) AS partition_interval,
            null::text AS retention_interval,
            4 AS premake        -- pg_partman's default
        INTO v_settings;
    END IF;
    INSERT INTO pgmq.partitioning (
        queue_name, is_archive, partition_interval, retention_interval, premake
    )
    VALUES (
        _adopt_partitions.queue_name, _adopt_partitions.is_archive, v_settings.partition_interval,
        v_settings.retention_interval, v_settings.premake
    );
    IF is_archive THEN
        PERFORM pgmq._create_archive(queue_name, v_settings.partition_interval);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._adopt_partitions(text, boolean) IS
'Maintain the partitions of an adopted queue or archive as pg_partman does, or would have done.';
