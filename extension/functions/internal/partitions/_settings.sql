-- The settings of partitioning: what callers give, and what it means.
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
'The duration that a word of pg_partman 4 stands for; anything else is returned as it is.';

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

CREATE OR REPLACE FUNCTION pgmq._check_segments(segment_interval text, retention_interval text)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_is_ids CONSTANT boolean := pgmq._is_id_interval(segment_interval);
BEGIN
    IF segment_interval IS NULL THEN
        PERFORM pgmq._raise_null('segment_interval', 'Give a duration or a number of msg_ids.');
    END IF;
    PERFORM pgmq._check_partition_interval('segment_interval', segment_interval);
    IF (CASE
        WHEN v_is_ids THEN segment_interval::bigint < 100
        ELSE segment_interval::interval < interval '1 second'
    END)
    THEN
        RAISE EXCEPTION 'segment_interval must be at least a second, or 100 msg_ids: %',
            segment_interval
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Each segment is a table of its own.';
    END IF;
    -- Retention may be of the other kind.
    PERFORM pgmq._check_partitioning(
        segment_interval,
        CASE WHEN v_is_ids = pgmq._is_id_interval(retention_interval) THEN retention_interval END,
        1
    );
    IF retention_interval IS NOT NULL THEN
        PERFORM pgmq._check_partitioning(
            CASE WHEN pgmq._is_id_interval(retention_interval) THEN '1' ELSE '1 day' END,
            retention_interval, 1
        );
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._check_segments(text, text) IS
'Raise an error unless a stream can be divided into such segments, and keep them for so long.';

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
'Raise an error unless partitions can be created and maintained with these settings.';
