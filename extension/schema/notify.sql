-- Upstream keeps the settings of notifications in a table. A view has its name now, so the table is
-- renamed; upgrade/adopt.sql takes over its rows.
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_class AS c
        WHERE c.oid = to_regclass('pgmq.notify_insert_throttle') AND c.relkind = 'r'
    ) THEN
        ALTER TABLE pgmq.notify_insert_throttle RENAME TO notify_insert_throttle_of_1;
    END IF;
END
$$;
