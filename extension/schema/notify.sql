-- Upstream keeps the settings of notifications in a table. Its name is a view's now, and
-- upgrade/adopt.sql takes over what is in it.
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
