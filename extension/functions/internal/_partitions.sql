-- The partitions of queues and archives. Their keys are handled as bigint: msg_ids, or times in
-- microseconds since 1970. Days begin at midnight UTC, whichever session is at work.
CREATE OR REPLACE FUNCTION pgmq._partition_column(relation text)
RETURNS name
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT a.attname
    FROM pg_partitioned_table AS t
    INNER JOIN pg_attribute AS a ON t.partrelid = a.attrelid AND t.partattrs[0] = a.attnum
    WHERE t.partrelid = to_regclass(relation) AND t.partstrat = 'r' AND t.partnatts = 1
        AND a.attname IN ('msg_id', 'enqueued_at', 'archived_at')
$$;
COMMENT ON FUNCTION pgmq._partition_column(text) IS
'The column whose ranges a table is partitioned by; null for any other table.';

CREATE OR REPLACE FUNCTION pgmq._live_range(queue_name text)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_bounds record;
BEGIN
    SELECT b.* INTO v_bounds
    FROM pgmq._bounds(
        to_regclass(format('pgmq.%I', pgmq.format_table_name(queue_name, 'q'))),
        pgmq._suffix(queue_name)
    ) AS b;
    IF v_bounds.key IS NULL THEN
        RETURN 'true';
    END IF;
    RETURN format('q.%I BETWEEN %s AND %s', v_bounds.key, v_bounds.first, v_bounds.last);
END
$$;
COMMENT ON FUNCTION pgmq._live_range(text) IS
'A condition in SQL, on q, that confines a scan of a queue to the partitions with messages.';

CREATE OR REPLACE FUNCTION pgmq._is_id_interval(partition_interval text)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT partition_interval ~ '^[[:space:]]*[+-]?[0-9]+[[:space:]]*$'
$$;
COMMENT ON FUNCTION pgmq._is_id_interval(text) IS
'Whether an interval of partitions is a number of msg_ids, not a duration.';

-- pg_partman 5 has durations only.
CREATE OR REPLACE FUNCTION pgmq._partition_interval(word text)
RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE word
        WHEN 'yearly' THEN '1 year'
        WHEN 'quarterly' THEN '3 months'
        WHEN 'monthly' THEN '1 month'
        WHEN 'weekly' THEN '7 days'
        WHEN 'daily' THEN '1 day'
        WHEN 'hourly' THEN '1 hour'
        WHEN 'half-hour' THEN '30 minutes'
        WHEN 'quarter-hour' THEN '15 minutes'
        ELSE word
    END
$$;
COMMENT ON FUNCTION pgmq._partition_interval(text) IS
'The duration that is meant by a word of pg_partman 4; anything else as it is.';

CREATE OR REPLACE FUNCTION pgmq._partition_months(partition_interval text)
RETURNS integer
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN pgmq._is_id_interval(partition_interval) THEN 0
        ELSE extract(year FROM partition_interval::interval) * 12
            + extract(month FROM partition_interval::interval)
    END
$$;
COMMENT ON FUNCTION pgmq._partition_months(text) IS 'The months in an interval of partitions; 0 for days and less, and for msg_ids.';

CREATE OR REPLACE FUNCTION pgmq._check_partition_interval(argument text, value text)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (CASE
        WHEN pgmq._is_id_interval(value) THEN abs(value::numeric) <= 1e15
        ELSE value::interval BETWEEN '-100 years' AND '100 years'
    END)
    THEN
        RETURN;
    END IF;
    RAISE EXCEPTION '% is too long: %', argument, value
        USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Up to 100 years, or a thousand million million msg_ids.';
EXCEPTION
    WHEN invalid_datetime_format OR datetime_field_overflow OR interval_field_overflow THEN
        RAISE EXCEPTION '% is neither a duration nor a number of msg_ids: %', argument, value
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'For example ''1 day'', or ''10000''.';
END
$$;
COMMENT ON FUNCTION pgmq._check_partition_interval(text, text) IS
'Raise an error unless a value that is not null is a duration or a number of msg_ids.';

CREATE OR REPLACE FUNCTION pgmq._check_partitioning(
    partition_interval text,
    retention_interval text,
    premake integer
)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_months integer;
BEGIN
    partition_interval := pgmq._partition_interval(partition_interval);
    IF partition_interval IS NULL OR premake IS NULL THEN
        PERFORM pgmq._raise_null(
            CASE WHEN premake IS NULL THEN 'premake' ELSE 'partition_interval' END,
            'Give a duration or a number of msg_ids, and how many partitions to create in advance.'
        );
    END IF;
    IF premake < 1 THEN
        RAISE EXCEPTION 'premake must be at least 1, got %', premake;
    END IF;
    IF premake > 1000 THEN
        RAISE EXCEPTION 'premake must be at most 1000: %', premake
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'It is the number of partitions that are created in advance.';
    END IF;
    PERFORM pgmq._check_partition_interval('partition_interval', partition_interval);
    IF retention_interval IS NOT NULL THEN
        PERFORM pgmq._check_partition_interval('retention_interval', retention_interval);
    END IF;
    v_months := pgmq._partition_months(partition_interval);
    IF pgmq._is_id_interval(partition_interval) THEN
        IF partition_interval::bigint < 1 THEN
            RAISE EXCEPTION 'partition_interval must be positive: %', partition_interval
                USING ERRCODE = 'invalid_parameter_value',
                    HINT = 'It is how many msg_ids a partition is for.';
        END IF;
        IF NOT pgmq._is_id_interval(retention_interval) OR retention_interval::bigint < 0 THEN
            RAISE EXCEPTION 'retention_interval of partitions of msg_ids must be a number of them: %',
                retention_interval
                USING ERRCODE = 'invalid_parameter_value',
                    HINT = 'For a duration, the partition_interval must be one too.';
        END IF;
    ELSE
        IF partition_interval::interval < interval '1 second'
            OR v_months > 0 AND partition_interval::interval <> make_interval(months => v_months)
        THEN
            RAISE EXCEPTION 'partition_interval must be at least a second, and months without days: %',
                partition_interval
                USING ERRCODE = 'invalid_parameter_value',
                    HINT = 'For example ''1 day'', or ''1 month''.';
        END IF;
        IF retention_interval::interval < interval '0' THEN
            RAISE EXCEPTION 'retention_interval must not be negative: %', retention_interval
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Null keeps partitions for good.';
        END IF;
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._check_partitioning(text, text, integer) IS
'Raise an error unless partitions can be made and kept by these settings.';

CREATE OR REPLACE FUNCTION pgmq._partition_start(
    partition_interval text,
    key bigint,
    anchor bigint
)
RETURNS bigint
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    v_step CONSTANT numeric := CASE
        WHEN pgmq._is_id_interval(partition_interval) THEN partition_interval::numeric
        ELSE extract(epoch FROM partition_interval::interval) * 1000000
    END;
    v_months CONSTANT integer := pgmq._partition_months(partition_interval);
    v_from timestamptz;
    v_at timestamptz;
    v_start timestamptz;
    v_count integer;
BEGIN
    IF v_months > 0 THEN
        v_from := to_timestamp(anchor / 1000000);
        v_at := to_timestamp(key / 1000000);
        v_count := extract(year FROM v_at) * 12 + extract(month FROM v_at)
            - extract(year FROM v_from) * 12 - extract(month FROM v_from);
        v_count := floor(v_count::numeric / v_months);
        v_start := v_from + make_interval(months => v_count * v_months);
        IF v_start > v_at THEN
            v_start := v_from + make_interval(months => (v_count - 1) * v_months);
        END IF;
        RETURN pgmq._microseconds(v_start);
    END IF;
    RETURN anchor + floor((key::numeric - anchor) / v_step) * v_step;
END
$$;
COMMENT ON FUNCTION pgmq._partition_start(text, bigint, bigint) IS
'Where the partition for a key begins, when one begins at the anchor.';

CREATE OR REPLACE FUNCTION pgmq._partition_end(partition_interval text, start bigint)
RETURNS bigint
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
BEGIN
    IF pgmq._is_id_interval(partition_interval) THEN
        RETURN least(start + partition_interval::numeric, 9223372036854775807);
    END IF;
    RETURN pgmq._microseconds(to_timestamp(start / 1000000) + partition_interval::interval)
        + start % 1000000;
END
$$;
COMMENT ON FUNCTION pgmq._partition_end(text, bigint) IS 'Where the partition that begins there ends.';

CREATE OR REPLACE FUNCTION pgmq._partition_anchor(partition_interval text)
RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
BEGIN
    IF pgmq._is_id_interval(partition_interval) THEN
        RETURN 0;
    END IF;
    RETURN pgmq._microseconds(date_trunc(
        CASE
            WHEN pgmq._partition_months(partition_interval) >= 12 THEN 'year'
            WHEN pgmq._partition_months(partition_interval) = 3 THEN 'quarter'
            WHEN pgmq._partition_months(partition_interval) > 0 THEN 'month'
            WHEN partition_interval::interval = interval '7 days' THEN 'week'
            ELSE 'day'
        END,
        clock_timestamp()
    ));
END
$$;
COMMENT ON FUNCTION pgmq._partition_anchor(text) IS 'Where a partition of a new table begins.';

CREATE OR REPLACE FUNCTION pgmq._partition_bound(bound text)
RETURNS bigint
LANGUAGE sql STABLE
AS $$
    SELECT CASE
        WHEN bound = 'MINVALUE' THEN '-9223372036854775808'::bigint
        WHEN bound = 'MAXVALUE' THEN 9223372036854775807
        WHEN bound ~ '^''-?[0-9]+''$' THEN btrim(bound, '''')::bigint
        ELSE pgmq._microseconds(btrim(bound, '''')::timestamptz)
    END
$$;
COMMENT ON FUNCTION pgmq._partition_bound(text) IS 'A bound of a partition, of which the catalog has the text, as a key.';

CREATE OR REPLACE FUNCTION pgmq._partitions(relation regclass)
RETURNS TABLE (partition regclass, first_key bigint, end_key bigint)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT i.inhrelid, pgmq._partition_bound(b.bounds[1]), pgmq._partition_bound(b.bounds[2])
    FROM pg_catalog.pg_inherits AS i
    INNER JOIN pg_catalog.pg_class AS c ON i.inhrelid = c.oid
    CROSS JOIN regexp_match(
        pg_catalog.pg_get_expr(c.relpartbound, c.oid), 'FROM [(](.*)[)] TO [(](.*)[)]'
    ) AS b (bounds)
    WHERE i.inhparent = relation AND b.bounds IS NOT NULL
$$;
COMMENT ON FUNCTION pgmq._partitions(regclass) IS
'The partitions of a table, with the first key of each and the first one after it.

But for the default partition.';

CREATE OR REPLACE FUNCTION pgmq._default_partition(relation regclass)
RETURNS regclass
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT nullif(t.partdefid, 0) FROM pg_catalog.pg_partitioned_table AS t
    WHERE t.partrelid = relation
$$;
COMMENT ON FUNCTION pgmq._default_partition(regclass) IS
'The partition that takes what belongs in no other; null where there is none.';

CREATE OR REPLACE FUNCTION pgmq._partition_name(relation regclass, suffix text)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- As pg_partman names them; a name that would be cut could be another queue's.
    SELECT CASE
        WHEN octet_length(c.relname || suffix) <= 63 THEN c.relname || suffix
        ELSE left(c.relname, 2) || md5(c.relname) || suffix
    END
    FROM pg_catalog.pg_class AS c
    WHERE c.oid = relation
$$;
COMMENT ON FUNCTION pgmq._partition_name(regclass, text) IS 'The name of a partition of a table.';

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
            'ALTER TABLE %s OWNER TO %s', pgmq._default_partition(relation),
            (SELECT c.relowner::regrole FROM pg_class AS c WHERE c.oid = relation)
        );
        PERFORM pgmq._add_replica_identity(relation);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._add_default_partition(regclass) IS
'Give a table a default partition unless it has one.';

CREATE OR REPLACE FUNCTION pgmq._partition_suffix(
    partition_interval text,
    start bigint
)
RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
    SELECT CASE
        WHEN pgmq._is_id_interval(partition_interval) THEN '_p' || start
        ELSE to_char(
            to_timestamp(start / 1000000),
            CASE
                WHEN pgmq._partition_months(partition_interval) >= 12 THEN '"_p"YYYY'
                WHEN pgmq._partition_months(partition_interval) > 0 THEN '"_p"YYYY_MM'
                WHEN partition_interval::interval >= interval '1 day' THEN '"_p"YYYY_MM_DD'
                WHEN partition_interval::interval >= interval '1 minute'
                    THEN '"_p"YYYY_MM_DD_HH24MI'
                ELSE '"_p"YYYY_MM_DD_HH24MISS'
            END
        )
    END
$$;
COMMENT ON FUNCTION pgmq._partition_suffix(text, bigint) IS 'How the name of the partition that begins there ends.';

CREATE OR REPLACE FUNCTION pgmq._partition_literal(partition_column text, key bigint)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO'
AS $$
    SELECT CASE partition_column
        WHEN 'msg_id' THEN key::text
        -- Exact, as to_timestamp() is not.
        ELSE ('epoch'::timestamptz + key * interval '1 microsecond')::text
    END
$$;
COMMENT ON FUNCTION pgmq._partition_literal(text, bigint) IS 'A key as a value of the column, in text.';

CREATE OR REPLACE FUNCTION pgmq._default_keys(relation regclass)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH ends AS (
        SELECT p.first_key, p.end_key FROM pgmq._partitions(relation) AS p
        UNION ALL
        SELECT null, null
    ),
    gaps AS (
        SELECT e.end_key AS first_key, lead(e.first_key) OVER w AS end_key
        FROM ends AS e
        WINDOW w AS (ORDER BY e.first_key NULLS FIRST)
    ),
    conditions AS (
        SELECT concat_ws(
            ' AND ',
            CASE WHEN g.first_key IS NOT NULL THEN format(
                '%I >= %L', k.name, pgmq._partition_literal(k.name, g.first_key)
            ) END,
            CASE WHEN g.end_key IS NOT NULL THEN format(
                '%I < %L', k.name, pgmq._partition_literal(k.name, g.end_key)
            ) END
        ) AS condition
        FROM gaps AS g
        CROSS JOIN LATERAL (SELECT pgmq._partition_column(relation::text)::text AS name) AS k
        WHERE (g.first_key = g.end_key) IS NOT TRUE
            -- A partition from MINVALUE, or to MAXVALUE.
            AND coalesce(g.first_key, 0) < 9223372036854775807
            AND coalesce(g.end_key, 0) > '-9223372036854775808'::bigint
    )
    SELECT coalesce(string_agg(coalesce(nullif(c.condition, ''), 'true'), ' OR '), 'false')
    FROM conditions AS c
$$;
COMMENT ON FUNCTION pgmq._default_keys(regclass) IS
'A condition for the keys that are in no partition but the default one.';

-- A writer knows the partitions from the moment on when it first locks the table, and a message for
-- which it knew none goes to the default partition; where one was attached meanwhile, Postgres
-- refuses it there. So a partition is attached while no transaction has written to the table that
-- could have a message for it. Messages can only be moved from the default partition while nobody
-- uses the table at all: a statement that has been planned before and had to wait for its locks
-- would look for them where they were.
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
    v_before bigint;
    v_after bigint;
    v_first bigint;
    v_end bigint;
    v_bounds text[];
    v_range text;
    v_name text;
    v_columns text;
    v_count bigint := 0;
    v_strong boolean;
BEGIN
    -- One at a time, and then another may have done it.
    EXECUTE format('LOCK TABLE ONLY %s IN SHARE UPDATE EXCLUSIVE MODE', relation);
    IF EXISTS (
        SELECT FROM pgmq._partitions(relation) AS p
        WHERE _add_partition.key >= p.first_key AND _add_partition.key < p.end_key
    )
    THEN
        RETURN 0;
    END IF;
    SELECT
        max(p.end_key) FILTER (WHERE p.end_key <= _add_partition.key),
        min(p.first_key) FILTER (WHERE p.first_key > _add_partition.key)
    INTO v_before, v_after
    FROM pgmq._partitions(relation) AS p;
    v_first := pgmq._partition_start(
        partition_interval, key,
        coalesce(v_before, v_after, pgmq._partition_anchor(partition_interval))
    );
    v_end := least(pgmq._partition_end(partition_interval, v_first), v_after);
    v_first := greatest(v_first, v_before);
    v_name := pgmq._partition_name(
        relation, pgmq._partition_suffix(partition_interval, v_first)
    );
    IF to_regclass(format('pgmq.%I', v_name)) IS NOT NULL THEN
        -- A detached one, or one of another grid.
        v_name := left(v_name, 2) || md5(format('%s %s', v_name, clock_timestamp()));
    END IF;
    v_bounds := ARRAY[
        pgmq._partition_literal(v_column, v_first), pgmq._partition_literal(v_column, v_end)
    ];
    v_range := format(
        '%1$I >= %2$L AND %1$I < %3$L', v_column, v_bounds[1], v_bounds[2]
    );

    IF v_default IS NOT NULL THEN
        EXECUTE format(
            'SELECT count(*) FROM (SELECT FROM %s WHERE %s LIMIT %s) AS m',
            v_default, v_range, most_moved + 1
        ) INTO v_count;
        IF v_count > most_moved THEN
            RETURN null;
        END IF;
    END IF;
    -- A message has the time at which its transaction began: those that are open have an earlier one.
    v_strong := v_count > 0 OR v_column = 'msg_id'
        OR v_first < pgmq._microseconds(clock_timestamp() + interval '1 minute');
    IF v_strong THEN
        -- EXCLUSIVE waits also for a reader who has locked messages and is about to update them.
        EXECUTE format(
            'LOCK TABLE ONLY %s IN %s MODE', relation,
            CASE WHEN v_count > 0 THEN 'ACCESS EXCLUSIVE' ELSE 'EXCLUSIVE' END
        );
    END IF;
    IF v_default IS NOT NULL THEN
        -- Whoever uses it may be waiting for the lock above.
        EXECUTE format(
            'LOCK TABLE %s IN ACCESS EXCLUSIVE MODE %s', v_default,
            CASE WHEN v_strong THEN 'NOWAIT' END
        );
        IF v_count = 0 THEN
            EXECUTE format(
                'SELECT count(*) FROM (SELECT FROM %s WHERE %s LIMIT 1) AS m', v_default, v_range
            ) INTO v_count;
            IF v_count > 0 THEN
                RAISE EXCEPTION 'messages for partition % have just come', v_name
                    USING ERRCODE = 'lock_not_available';
            END IF;
        END IF;
    END IF;
    EXECUTE format(
        'CREATE TABLE pgmq.%I (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)',
        v_name, relation
    );
    EXECUTE format(
        'ALTER TABLE pgmq.%I OWNER TO %s', v_name,
        (SELECT c.relowner::regrole FROM pg_class AS c WHERE c.oid = relation)
    );
    IF v_count > 0 THEN
        -- A lease does not end by being moved, as the triggers of push delivery would think.
        EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', v_default);
        v_columns := (
            SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
            FROM pg_attribute AS a
            WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
        );
        EXECUTE format(
            $dml$
            WITH moved AS (DELETE FROM %1$s WHERE %2$s RETURNING %3$s)
            INSERT INTO pgmq.%4$I (%3$s) SELECT %3$s FROM moved
            $dml$,
            v_default, v_range, v_columns, v_name
        );
        GET DIAGNOSTICS v_count = ROW_COUNT;
        EXECUTE format('ALTER TABLE %s ENABLE TRIGGER USER', v_default);
    END IF;
    IF (SELECT c.relreplident FROM pg_class AS c WHERE c.oid = relation) = 'f' THEN
        EXECUTE format('ALTER TABLE pgmq.%I REPLICA IDENTITY FULL', v_name);
    END IF;
    EXECUTE format(
        'ALTER TABLE %s ATTACH PARTITION pgmq.%I FOR VALUES FROM (%L) TO (%L)',
        relation, v_name, v_bounds[1], v_bounds[2]
    );
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION pgmq._add_partition(regclass, text, bigint, bigint) IS
'Add the partition for a key that none is for yet, and return how many messages were moved there.

These are what the default partition had of them. Null when they are more than most_moved: then nothing is done.';

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
    v_messages bigint;
    v_unread bigint;
BEGIN
    EXECUTE format('LOCK TABLE ONLY %s IN SHARE UPDATE EXCLUSIVE MODE', relation);
    IF NOT EXISTS (
        SELECT FROM pg_inherits AS i WHERE i.inhparent = relation AND i.inhrelid = partition
    )
    THEN
        RETURN;     -- another has done it
    END IF;
    -- Counted before everybody is locked out; nobody changes it any more.
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', partition);
    EXECUTE format(
        'SELECT count(*), count(*) FILTER (WHERE read_ct = 0) FROM %s', partition
    ) INTO v_messages, v_unread;
    EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', relation);
    IF NOT is_archive AND v_messages > 0 THEN
        RAISE LOG 'retention drops partition % of queue "%" with % messages, % of them never read',
            partition, queue_name, v_messages, v_unread;
        UPDATE pgmq.partitioning AS t
        SET dropped_messages = t.dropped_messages + v_messages,
            dropped_unread = t.dropped_unread + v_unread,
            dropped_at = clock_timestamp()
        WHERE t.queue_name = _drop_partition.queue_name AND t.is_archive = _drop_partition.is_archive;
    END IF;
    EXECUTE format('DROP TABLE %s', partition);
END
$$;
COMMENT ON FUNCTION pgmq._drop_partition(text, boolean, regclass, regclass) IS
'Drop a partition that retention no longer keeps, and record the messages that were still in it.';

-- In steps, each in a subtransaction of its own: a lock that cannot be had in time ends it, and it
-- is tried again later. What a step has locked stays locked until the transaction ends: writers are
-- locked out when a partition is added, all users when messages are moved or one is dropped.
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
    v_set pgmq.partitioning;
    v_relation regclass := to_regclass(format(
        'pgmq.%I', pgmq.format_table_name(queue_name, CASE WHEN is_archive THEN 'a' ELSE 'q' END)
    ));
    v_column text := pgmq._partition_column(v_relation::text);
    v_default regclass;
    v_heavy boolean;
    v_now bigint;
    v_key bigint;
    v_bounds record;
    v_most_moved bigint := CASE WHEN thorough THEN 9e18 ELSE 10000 END;
    v_ahead integer := 0;       -- partitions, that of now included
    v_moved bigint;
    v_sum bigint := 0;
    v_partition regclass;
    v_limit bigint;
BEGIN
    SELECT t.* INTO v_set
    FROM pgmq.partitioning AS t
    WHERE lower(t.queue_name) = lower(_maintain_partitions.queue_name)
        AND t.is_archive = _maintain_partitions.is_archive;
    IF NOT FOUND OR v_column IS NULL THEN
        RETURN 0;
    END IF;
    IF thorough THEN
        -- A caller that has looked at the queue may wait for what this has locked, and this for the
        -- caller: it must be over well within deadlock_timeout, or the caller would fail.
        PERFORM set_config('lock_timeout', '500ms', true);
    END IF;
    IF pgmq._partman_keeps(v_relation) THEN
        RETURN CASE WHEN thorough THEN pgmq._partman_empty_default(v_relation) ELSE 0 END;
    END IF;
    IF thorough THEN
        PERFORM pgmq._add_default_partition(v_relation);
    END IF;

    IF v_column = 'msg_id' THEN
        v_now := coalesce(pg_sequence_last_value(pg_get_serial_sequence(
            format('pgmq.%I', pgmq.format_table_name(queue_name, 'q')), 'msg_id'
        )), 0);
    ELSE
        v_now := pgmq._microseconds(clock_timestamp());
    END IF;

    IF v_column = 'msg_id' THEN
        EXECUTE format(
            'SELECT max(msg_id) - %L::bigint FROM %s', v_set.retention_interval, v_relation
        ) INTO v_limit;
    ELSE
        v_limit := pgmq._microseconds(clock_timestamp() - v_set.retention_interval::interval);
    END IF;

    -- Once and for all, where it will be needed: a stronger lock in a later step could make this
    -- and a reader wait for each other.
    IF thorough THEN
        EXECUTE format(
            'SELECT EXISTS (SELECT FROM %s) OR EXISTS ('
            'SELECT FROM pgmq._partitions($1) AS p WHERE p.end_key <= $2)',
            pgmq._default_partition(v_relation)
        ) INTO v_heavy USING v_relation, v_limit;
        IF v_heavy THEN
            BEGIN
                EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', v_relation);
            EXCEPTION
                WHEN lock_not_available OR deadlock_detected THEN
                    PERFORM pgmq._postpone_partitions(v_relation, thorough, SQLERRM);
                    v_most_moved := 0;      -- the next partitions at least
            END;
        END IF;
    END IF;

    -- From the partition of now on.
    v_key := v_now;
    LOOP
        FOR v_bounds IN
            SELECT p.first_key, p.end_key FROM pgmq._partitions(v_relation) AS p
            WHERE p.end_key > v_key
            ORDER BY p.first_key
        LOOP
            EXIT WHEN v_bounds.first_key > v_key OR v_ahead > v_set.premake;
            v_key := v_bounds.end_key;
            v_ahead := v_ahead + 1;
        END LOOP;
        EXIT WHEN v_ahead > v_set.premake;
        -- Without one in advance, what comes next is at stake.
        IF NOT thorough THEN
            PERFORM set_config(
                'lock_timeout', CASE WHEN v_ahead > 1 THEN '50ms' ELSE '250ms' END, true
            );
        END IF;
        v_moved := pgmq._try_partition(
            v_relation, v_set.partition_interval, v_key, v_most_moved, thorough
        );
        EXIT WHEN v_moved IS NULL;
        v_sum := v_sum + v_moved;
    END LOOP;
    IF v_most_moved = 0 THEN
        RETURN v_sum;
    END IF;
    IF NOT thorough THEN
        PERFORM set_config('lock_timeout', '50ms', true);
    END IF;

    -- What else the default partition has.
    LOOP
        v_default := pgmq._default_partition(v_relation);
        EXIT WHEN v_default IS NULL;
        EXECUTE format(
            'SELECT pgmq._partition_key(%1$I) FROM %2$s ORDER BY %1$I LIMIT 1',
            v_column, v_default
        ) INTO v_key;
        EXIT WHEN v_key IS NULL;
        v_moved := pgmq._try_partition(
            v_relation, v_set.partition_interval, v_key, v_most_moved, thorough
        );
        EXIT WHEN v_moved IS NULL OR v_moved = 0;
        v_sum := v_sum + v_moved;
        EXIT WHEN NOT thorough;
    END LOOP;

    FOR v_partition IN
        SELECT p.partition FROM pgmq._partitions(v_relation) AS p
        WHERE p.end_key <= v_limit
        ORDER BY p.end_key
        LIMIT CASE WHEN NOT thorough THEN 1 END
    LOOP
        BEGIN
            PERFORM pgmq._drop_partition(v_set.queue_name, is_archive, v_relation, v_partition);
        EXCEPTION
            WHEN lock_not_available OR deadlock_detected OR object_in_use THEN
                PERFORM pgmq._postpone_partitions(v_relation, thorough, SQLERRM);
                EXIT;
        END;
    END LOOP;
    RETURN v_sum;
END
$$;
COMMENT ON FUNCTION pgmq._maintain_partitions(text, boolean, boolean) IS
'Do the upkeep of the partitions of a queue or its archive: a step of each kind, or thoroughly.

Add the next ones, move what the default one has, and drop what retention no longer keeps. Returns how many messages it moved.';

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
'Add a partition (see _add_partition); null when others hold what must be locked.';

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
'Say, if pgmq.maintain() was called, that a lock could not be had in time.';

-- Under REPEATABLE READ and SERIALIZABLE: a message that upkeep has moved to a new partition since
-- the snapshot was taken is for it in neither place. Such a transaction must begin again.
CREATE OR REPLACE FUNCTION pgmq._keeps_snapshot()
RETURNS boolean
LANGUAGE sql STABLE
AS $$
    SELECT pg_catalog.current_setting('transaction_isolation'::text) <> 'read committed'::text
$$;
COMMENT ON FUNCTION pgmq._keeps_snapshot() IS
'Whether all statements of the transaction see the database as it was at its beginning.';

CREATE OR REPLACE FUNCTION pgmq._check_snapshot(relation regclass)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Who is moving messages now has then done so.
    EXECUTE format('LOCK TABLE ONLY %s IN ACCESS SHARE MODE', relation);
    -- The first shows what is, the second what the snapshot has.
    IF EXISTS (
        SELECT t.relid::oid FROM pg_partition_tree(relation) AS t WHERE t.parentrelid = relation
        EXCEPT ALL
        SELECT i.inhrelid FROM pg_inherits AS i WHERE i.inhparent = relation
    )
    THEN
        RAISE EXCEPTION 'could not serialize access due to a new partition of table %', relation
            USING ERRCODE = 'serialization_failure',
                HINT = 'The transaction might succeed if retried.';
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._check_snapshot(regclass) IS
'Raise a serialization failure when a table has a partition that is not in the snapshot.';

-- The upkeep that a read or a send has found due is done when its transaction commits: what it
-- locks then is locked for the commit alone, however long the transaction was open and whatever it
-- does after the call. A deferred trigger is what runs at that time, and a trigger needs a row.
-- (After SET CONSTRAINTS ALL IMMEDIATE it runs at once, and the locks stay.)
CREATE OR REPLACE FUNCTION pgmq._defer_upkeep(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER      -- nobody else has a right to the table
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_row tid;
BEGIN
    IF NOT pgmq._is_user(
        to_regclass(format('pgmq.%I', pgmq.format_table_name(queue_name, 'q'))), 'INSERT'
    )
    THEN
        RETURN;
    END IF;
    INSERT INTO pgmq.tending AS t (queue_name) VALUES (_defer_upkeep.queue_name)
    RETURNING t.ctid INTO v_row;
    DELETE FROM pgmq.tending AS t WHERE t.ctid = v_row;     -- it fires all the same
END
$$;
COMMENT ON FUNCTION pgmq._defer_upkeep(text) IS
'Have the partitions of a queue tended when the transaction commits.';

-- Not SECURITY DEFINER: what it calls is the property of the queue's owner.
CREATE OR REPLACE FUNCTION pgmq._do_deferred_upkeep()
RETURNS trigger
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_function CONSTANT text := format('pgmq.%I', pgmq._function_name('keep', new.queue_name));
BEGIN
    -- A prepared transaction would keep the locks. (A commit without a statement has no text.) And
    -- the queue may have been dropped.
    IF (current_query() ~* '^\s*prepare\M') IS NOT TRUE
        AND to_regproc(v_function) IS NOT NULL
    THEN
        EXECUTE format('SELECT %s()', v_function);
    END IF;
    RETURN null;
END
$$;
COMMENT ON FUNCTION pgmq._do_deferred_upkeep() IS
'Trigger, deferred: have the partitions of a queue tended.';

DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_catalog.pg_trigger AS t
        WHERE t.tgrelid = 'pgmq.tending'::regclass AND NOT t.tgisinternal
    )
    THEN
        CREATE CONSTRAINT TRIGGER tend_at_commit AFTER INSERT ON pgmq.tending
        DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION pgmq._do_deferred_upkeep();
    END IF;
END
$$;

-- A table that is partitioned already, and what its partitioning is known by.
CREATE OR REPLACE FUNCTION pgmq._partition(
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
    v_table CONSTANT text := pgmq.format_table_name(
        queue_name, CASE WHEN is_archive THEN 'a' ELSE 'q' END
    );
    v_relation CONSTANT regclass := format('pgmq.%I', v_table);
    v_word CONSTANT text := partition_interval;
    v_schema name;
    v_version integer;
    v_start bigint;
    v_key bigint;
BEGIN
    partition_interval := pgmq._partition_interval(v_word);
    INSERT INTO pgmq.partitioning (
        queue_name, is_archive, partition_interval, retention_interval, premake
    )
    VALUES (
        _partition.queue_name, _partition.is_archive, _partition.partition_interval,
        _partition.retention_interval, _partition.premake
    );
    SELECT p.schema_name, p.major_version INTO v_schema, v_version FROM pgmq._partman() AS p;
    IF v_schema IS NOT NULL THEN
        EXECUTE format(
            $sql$
            SELECT %I.create_parent(
                p_parent_table := $1,
                p_control := $2,
                p_interval := $3,
                p_type := $4,
                p_premake := $5
            )
            $sql$,
            v_schema
        ) USING format('pgmq.%s', v_table), pgmq._partition_column(v_relation::text),
            CASE WHEN v_version >= 5 THEN partition_interval ELSE v_word END,
            CASE WHEN v_version >= 5 THEN 'range' ELSE 'native' END, premake;
        -- An archive that was converted goes on when nothing is archived for a while.
        EXECUTE format(
            $sql$
            UPDATE %I.part_config
            SET retention = $2,
                retention_keep_table = false,
                retention_keep_index = NOT $3,
                infinite_time_partitions = $3,
                automatic_maintenance = 'on'
            WHERE parent_table = $1
            $sql$,
            v_schema
        ) USING format('pgmq.%s', v_table), retention_interval,
            is_archive AND pgmq._partition_column(
                format('pgmq.%I', pgmq.format_table_name(queue_name, 'q'))
            ) IS NULL;
        PERFORM pgmq._add_replica_identity(v_relation);
        RETURN;
    END IF;
    PERFORM pgmq._add_default_partition(v_relation);
    -- Of times, as many before now: a transaction may have begun a while ago.
    v_start := 0;
    v_key := v_start;
    IF NOT pgmq._is_id_interval(partition_interval) THEN
        v_start := pgmq._partition_start(
            partition_interval, pgmq._microseconds(clock_timestamp()),
            pgmq._partition_anchor(partition_interval)
        );
        v_key := v_start;
        FOR i IN 1..premake LOOP
            v_key := pgmq._partition_start(partition_interval, v_key - 1, v_start);
        END LOOP;
    END IF;
    LOOP
        PERFORM pgmq._add_partition(v_relation, partition_interval, v_key, 0);
        EXIT WHEN v_key >= v_start AND premake = 0;
        premake := premake - (v_key >= v_start)::integer;
        v_key := pgmq._partition_end(partition_interval, v_key);
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._partition(text, boolean, text, text, integer) IS
'Have the partitions of a queue or an archive kept, by pg_partman where it is installed.';

CREATE OR REPLACE FUNCTION pgmq._lay_out_partitions(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
    v_queue CONSTANT text := pgmq.format_table_name(queue_name, 'q');
    v_ids CONSTANT text := pg_get_serial_sequence(format('pgmq.%I', v_queue), 'msg_id');
    v_mark text;
BEGIN
    EXECUTE format(
        'ALTER INDEX IF EXISTS pgmq.%I RENAME TO %I',
        v_queue || '_part_idx', 'part_idx_' || pgmq._suffix(queue_name)
    );
    IF pgmq._partition_column(format('pgmq.%I', v_queue)) <> 'msg_id' THEN
        PERFORM pgmq._add_index('msg_id_idx_', queue_name);
    END IF;
    FOREACH v_mark IN ARRAY ARRAY['floor_mark_', 'top_mark_', 'tend_due_'] LOOP
        PERFORM pgmq._add_mark(v_mark, queue_name);
    END LOOP;
    -- It says where the last partition with messages is, to whoever may read them.
    IF NOT has_sequence_privilege('public', v_ids, 'SELECT') THEN
        EXECUTE format('GRANT SELECT ON SEQUENCE %s TO public', v_ids);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._lay_out_partitions(text) IS
'Give a partitioned queue what finds messages in its partitions; safe to repeat.

That is an index of msg_id, and marks between which there are messages.';

CREATE OR REPLACE FUNCTION pgmq._adopt_partitions(queue_name text, is_archive boolean)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
SET timezone = 'UTC'
AS $$
DECLARE
    v_table CONSTANT text := pgmq.format_table_name(
        queue_name, CASE WHEN is_archive THEN 'a' ELSE 'q' END
    );
    v_relation CONSTANT regclass := to_regclass(format('pgmq.%I', v_table));
    v_column CONSTANT text := pgmq._partition_column(v_relation::text);
    v_schema CONSTANT name := (SELECT p.schema_name FROM pgmq._partman() AS p);
    v_interval text;
    v_retention text;
    v_premake integer := 4;
BEGIN
    IF v_column IS NULL OR EXISTS (
        SELECT FROM pgmq.partitioning AS t
        WHERE t.queue_name = _adopt_partitions.queue_name
            AND t.is_archive = _adopt_partitions.is_archive
    )
    THEN
        RETURN;
    END IF;
    -- Of a table that is left without pg_partman, the newest partition tells the interval, and
    -- nothing how long messages were to be kept.
    v_interval := coalesce(
        (
            SELECT CASE v_column
                WHEN 'msg_id' THEN (p.end_key - p.first_key)::text
                ELSE age(to_timestamp(p.end_key / 1000000), to_timestamp(p.first_key / 1000000))::text
            END
            FROM pgmq._partitions(v_relation) AS p
            ORDER BY p.end_key DESC
            LIMIT 1
        ),
        CASE v_column WHEN 'msg_id' THEN '10000' ELSE '1 day' END
    );
    IF pgmq._partman_keeps(v_relation) THEN
        EXECUTE format(
            'SELECT partition_interval, retention, premake FROM %I.part_config'
            ' WHERE parent_table = $1',
            v_schema
        ) INTO v_interval, v_retention, v_premake USING format('pgmq.%s', v_table);
    END IF;
    INSERT INTO pgmq.partitioning (
        queue_name, is_archive, partition_interval, retention_interval, premake
    )
    VALUES (
        _adopt_partitions.queue_name, _adopt_partitions.is_archive, v_interval, v_retention,
        v_premake
    );
    IF is_archive THEN
        PERFORM pgmq._create_archive(queue_name, v_interval);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._adopt_partitions(text, boolean) IS
'Have the partitions of an adopted queue or archive kept as pg_partman keeps them, or would have.';

CREATE OR REPLACE FUNCTION pgmq._convert_archive(
    table_name text,
    partition_interval text,
    retention_interval text,
    leading_partition integer
)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_archive text;
    v_relation regclass;
    v_queue_name text;
    v_old regclass;
    v_grant record;
BEGIN
    IF table_name IS NULL THEN
        PERFORM pgmq._raise_null('table_name', 'Give the name of the queue.');
    END IF;
    v_queue_name := coalesce(pgmq._lock_queue_name(table_name), table_name);
    v_archive := pgmq.format_table_name(v_queue_name, 'a');
    v_relation := to_regclass(format('pgmq.%I', v_archive));
    IF v_relation IS NULL THEN
        PERFORM pgmq._compiled('read', table_name);     -- an unknown queue is an error
        RAISE NOTICE 'Table %s does not exists', v_archive;
        RETURN;
    END IF;
    IF (SELECT c.relkind FROM pg_class AS c WHERE c.oid = v_relation) = 'p' THEN
        RAISE NOTICE 'Table %s is already partitioned', v_archive;
        RETURN;
    END IF;
    PERFORM pgmq._check_partitioning(partition_interval, retention_interval, leading_partition);
    IF octet_length(v_archive || '_old') > 63 THEN
        RAISE EXCEPTION 'queue name "%" is too long in bytes to rename its archive: %, maximum is 57',
            v_queue_name, octet_length(v_queue_name)
            USING ERRCODE = 'name_too_long', HINT = 'The archive gets a name with _old at the end.';
    END IF;

    EXECUTE format('ALTER TABLE %s RENAME TO %I', v_relation, v_archive || '_old');
    v_old := v_relation;
    EXECUTE format(
        'ALTER INDEX IF EXISTS pgmq.%I RENAME TO %I',
        'archived_at_idx_' || pgmq._suffix(v_queue_name),
        'archived_at_idx_' || left(pgmq._suffix(v_queue_name), 43) || '_old'
    );
    PERFORM pgmq._create_archive(v_queue_name, partition_interval);
    -- Its owner and grants are the old one's.
    v_relation := format('pgmq.%I', v_archive)::regclass;
    EXECUTE format(
        'ALTER TABLE %s OWNER TO %s', v_relation,
        (SELECT c.relowner::regrole FROM pg_class AS c WHERE c.oid = v_old)
    );
    FOR v_grant IN
        SELECT
            lower(g.privilege_type) AS privilege_type,
            coalesce(r.rolname, 'public') AS grantee,
            g.is_grantable
        FROM pg_class AS c
        CROSS JOIN aclexplode(c.relacl) AS g
        LEFT JOIN pg_roles AS r ON g.grantee = r.oid
        WHERE c.oid = v_old AND g.grantee <> c.relowner
    LOOP
        EXECUTE format(
            'GRANT %I ON %s TO %I %s', v_grant.privilege_type, v_relation, v_grant.grantee,
            CASE WHEN v_grant.is_grantable THEN 'WITH GRANT OPTION' END
        );
    END LOOP;
    PERFORM pgmq._partition(
        v_queue_name, true, partition_interval, retention_interval, leading_partition
    );
END
$$;
COMMENT ON FUNCTION pgmq._convert_archive(text, text, text, integer) IS
'Give a queue a partitioned archive; its search_path outlasts it where pg_partman is installed.';
