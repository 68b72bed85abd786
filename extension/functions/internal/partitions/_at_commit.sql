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
    IF NOT pgmq._is_user(pgmq._queue_table(queue_name), 'INSERT') THEN
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
