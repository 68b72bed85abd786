-- Where partitions begin and end, by arithmetic alone. Keys are bigint: msg_ids, or times in
-- microseconds since 1970. Days begin at midnight UTC in every session.
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
'Where the partition for a key begins, if one begins at the anchor.';

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
COMMENT ON FUNCTION pgmq._partition_end(text, bigint) IS
'Where the partition ends that begins at this key.';

CREATE OR REPLACE FUNCTION pgmq._partition_anchor(partition_interval text)
RETURNS bigint
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- It is not the present day: then each new day would begin an interval of several days anew.
    -- This is a Monday on which a century begins, so weeks and months are those of the calendar.
    SELECT CASE
        WHEN pgmq._is_id_interval(partition_interval) THEN 0
        ELSE pgmq._microseconds('1900-01-01 00:00:00+00')
    END
$$;
COMMENT ON FUNCTION pgmq._partition_anchor(text) IS 'Where one of all the partitions that a table could have begins.';

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
COMMENT ON FUNCTION pgmq._partition_suffix(text, bigint) IS
'The end of the name of the partition that begins at this key.';

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
COMMENT ON FUNCTION pgmq._partition_bound(text) IS
'A bound of a partition, given as text from the catalog, as a key.';

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
