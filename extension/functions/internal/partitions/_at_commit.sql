-- If a read or a send finds that upkeep is due, the upkeep is done when its transaction commits.
-- Then its locks last only for the commit, no matter how long the transaction is open and what it
-- does after the call. A deferred trigger runs at that time, and a trigger needs a row. (After SET
-- CONSTRAINTS ALL IMMEDIATE it runs at once, and the locks stay.)
CREATE OR REPLACE FUNCTION pgmq._may_tend(queue regclass)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A stream may have nobody but readers for long.
    RETURN pgmq._is_user(queue, 'INSERT')
        OR pgmq._is_stream(queue) AND pgmq._is_user(queue, 'SELECT');
END
$$;
COMMENT ON FUNCTION pgmq._may_tend(regclass) IS
'Whether calls of the session''s role look after the partitions of a queue.';

CREATE OR REPLACE FUNCTION pgmq._clear_tending(entry tid)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER      -- with DELETE, anybody could lock the table
SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM pgmq.tending AS t WHERE t.ctid = entry
$$;
COMMENT ON FUNCTION pgmq._clear_tending(tid) IS
'Delete a row of pgmq.tending. The table is empty to everybody who looks.';

-- Not SECURITY DEFINER: since Postgres 18, a deferred trigger has the rights of the role that wrote
-- the row. That is the queue's owner (see tend), and must not be the owner of the extension.
CREATE OR REPLACE FUNCTION pgmq._defer_upkeep(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_row tid;
BEGIN
    IF NOT pgmq._may_tend(pgmq._queue_table(queue_name)) THEN
        RETURN;
    END IF;
    INSERT INTO pgmq.tending AS t (queue_name) VALUES (_defer_upkeep.queue_name)
    RETURNING t.ctid INTO v_row;
    PERFORM pgmq._clear_tending(v_row);     -- the trigger still fires
END
$$;
COMMENT ON FUNCTION pgmq._defer_upkeep(text) IS
'Let the commit of this transaction maintain the partitions of a queue.';

-- A prepared transaction would keep the locks of an upkeep until somebody ends it. The text is all
-- that the client has sent at once: there may be comments and other statements around the words,
-- and comments between them. A message with these words in it only puts the upkeep off.
CREATE OR REPLACE FUNCTION pgmq._may_be_preparing()
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- A commit without a statement has no text.
    SELECT coalesce(
        current_query() ~* '\mprepare(\s|--[^\n\r]*|/\*.*\*/)+transaction\M', false
    )
$$;
COMMENT ON FUNCTION pgmq._may_be_preparing() IS
'Whether this transaction may be about to be prepared, rather than committed.';

-- Not SECURITY DEFINER: it calls functions that belong to the queue's owner.
CREATE OR REPLACE FUNCTION pgmq._do_deferred_upkeep()
RETURNS trigger
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_function text;
BEGIN
    -- Before Postgres 18, the trigger has the rights of the session's role. That role may have used
    -- the queue through a function of another role.
    IF NOT has_schema_privilege('pgmq', 'USAGE') THEN
        RETURN null;
    END IF;
    v_function := format('pgmq.%I', pgmq._function_name('keep', new.queue_name));
    -- Also, the queue may have been dropped.
    IF NOT pgmq._may_be_preparing() AND to_regproc(v_function) IS NOT NULL THEN
        EXECUTE format('SELECT %s()', v_function);
    END IF;
    RETURN null;
END
$$;
COMMENT ON FUNCTION pgmq._do_deferred_upkeep() IS
'Trigger, deferred: maintain the partitions of a queue.';

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
