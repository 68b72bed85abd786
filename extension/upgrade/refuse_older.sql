-- Only upstream's 1.13 is adopted: older versions have other tables and settings. The column of
-- metrics_result that is checked here came with 1.13.
DO $$
BEGIN
    IF to_regclass('pgmq.meta') IS NOT NULL AND NOT EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = to_regclass('pgmq.metrics_result')
            AND a.attname = 'default_partition_length'
            AND NOT a.attisdropped
    )
    THEN
        RAISE EXCEPTION 'the pgmq in this database is older than 1.13'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Bring it to 1.13.0 first, with the files of that version: ALTER EXTENSION'
                    ' pgmq UPDATE TO ''1.13.0'', or its upgrade scripts where it is plain SQL.';
    END IF;
END
$$;
