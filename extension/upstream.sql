-- Relations of pgmq 1 that clients look at.
DO $$
BEGIN
    IF to_regclass('pgmq.notify_insert_throttle') IS NULL THEN
        CREATE VIEW pgmq.notify_insert_throttle AS
        SELECT t.queue_name::varchar AS queue_name, t.throttle_interval_ms, t.last_notified_at
        FROM pgmq.list_notify_insert_throttles() AS t;
    END IF;
    -- Some hosts change the owner of each member of the extension. That fails for the row type of a
    -- view, so the type must not be a member.
    IF EXISTS (
        SELECT FROM pg_depend AS d
        WHERE d.classid = 'pg_type'::regclass AND d.deptype = 'e'
            AND d.objid = 'pgmq.notify_insert_throttle'::regtype
    ) THEN
        ALTER EXTENSION pgmq DROP TYPE pgmq.notify_insert_throttle;
    END IF;
END
$$;
COMMENT ON VIEW pgmq.notify_insert_throttle IS 'The rows of pgmq.list_notify_insert_throttles(), under the name of the table that pgmq 1 has.

Inserting a row is enable_notify_insert, changing throttle_interval_ms update_notify_insert, and
deleting a row disable_notify_insert.';
CREATE OR REPLACE TRIGGER change INSTEAD OF INSERT OR UPDATE OR DELETE
ON pgmq.notify_insert_throttle
FOR EACH ROW EXECUTE FUNCTION pgmq._change_throttle();

-- Some hosts replace drop_queue, and some users delete from pgmq.meta themselves.
DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_trigger AS t
        WHERE t.tgrelid = 'pgmq.meta'::regclass AND t.tgname = 'forget'
    ) THEN
        CREATE TRIGGER forget AFTER DELETE ON pgmq.meta
        FOR EACH ROW EXECUTE FUNCTION pgmq._clear_away();
    END IF;
END
$$;
