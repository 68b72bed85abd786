-- The relations of a queue: what they are called, and how they are made.
CREATE OR REPLACE FUNCTION pgmq._queue_table(queue_name text, is_archive boolean DEFAULT false)
RETURNS regclass
LANGUAGE sql STABLE
AS $$
    -- One expression, so that it is inlined.
    SELECT to_regclass(pg_catalog.format('pgmq.%I', pgmq.format_table_name(
        queue_name, CASE WHEN is_archive THEN 'a' ELSE 'q' END
    )))
$$;
COMMENT ON FUNCTION pgmq._queue_table(text, boolean) IS
'The table, or the archive, that a queue of this name has, in whatever case; null where it is missing.';

CREATE OR REPLACE FUNCTION pgmq._owner(relation regclass)
RETURNS regrole
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT c.relowner FROM pg_class AS c WHERE c.oid = relation);
END
$$;
COMMENT ON FUNCTION pgmq._owner(regclass) IS 'The owner of a relation; null where that is missing.';

-- The low-water marks live in sequences: no dead rows, no lock, readable without a plan. They
-- belong to the column vt, so that they go with the table and TRUNCATE ... RESTART IDENTITY
-- restarts them with the ids.
CREATE OR REPLACE FUNCTION pgmq._add_sequence(prefix text, queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_queue regclass := format('pgmq.%I', pgmq.format_table_name(queue_name, 'q'));
    v_owner regrole := (SELECT c.relowner FROM pg_class AS c WHERE c.oid = v_queue);
    v_mark text := format('pgmq.%I', prefix || pgmq._suffix(queue_name));
BEGIN
    IF to_regclass(v_mark) IS NULL THEN
        EXECUTE format(
            'CREATE SEQUENCE %s MINVALUE -9223372036854775808 %s', v_mark,
            CASE WHEN v_owner = current_user::regrole THEN format('OWNED BY %s.vt', v_queue) END
        );
        EXECUTE format('GRANT SELECT ON SEQUENCE %s TO public', v_mark);
        IF v_owner <> current_user::regrole THEN
            EXECUTE format('ALTER SEQUENCE %s OWNER TO %s', v_mark, v_owner);
            EXECUTE format('ALTER SEQUENCE %s OWNED BY %s.vt', v_mark, v_queue);
        END IF;
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._add_sequence(text, text) IS 'Create one low-water mark of a queue unless it is there.';

CREATE OR REPLACE FUNCTION pgmq._add_index(prefix text, queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_queue text := pgmq.format_table_name(queue_name, 'q');
    v_name text := prefix || pgmq._suffix(queue_name);
    v_index regclass := to_regclass(format('pgmq.%I', v_name));
BEGIN
    -- What CREATE INDEX CONCURRENTLY has left when it failed.
    IF NOT (SELECT i.indisvalid FROM pg_index AS i WHERE i.indexrelid = v_index) THEN
        EXECUTE format('DROP INDEX %s', v_index);
        v_index := null;
    END IF;
    -- IF NOT EXISTS would lock the table before it looks, and refuses whoever does not own it.
    IF EXISTS (
        SELECT FROM pg_class AS c WHERE c.oid = v_index AND pg_has_role(c.relowner, 'USAGE')
    )
    THEN
        RETURN;
    END IF;
    CASE prefix     -- upgrade/prepare.sql has the same definitions
        WHEN 'ready_idx_' THEN
            EXECUTE format(
                'CREATE INDEX IF NOT EXISTS %I ON pgmq.%I (msg_id) WHERE vt <= enqueued_at',
                v_name, v_queue
            );
        WHEN 'parked_idx_' THEN
            EXECUTE format(
                'CREATE INDEX IF NOT EXISTS %I ON pgmq.%I (vt) WHERE vt > enqueued_at',
                v_name, v_queue
            );
        WHEN 'msg_id_idx_' THEN
            EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON pgmq.%I (msg_id)', v_name, v_queue);
        WHEN 'fifo_idx_' THEN
            -- The expression of _group(), spelt out: an index must not depend on the extension. And
            -- not msg_id itself, or the planner might use this index to look messages up by msg_id,
            -- and read would return them in the order of their groups.
            EXECUTE format(
                $ddl$
                CREATE INDEX IF NOT EXISTS %I ON pgmq.%I (
                    hashtextextended(
                        coalesce(headers ->> 'x-pgmq-group', '_default_fifo_group'), 0
                    ),
                    (msg_id + 0)
                )
                $ddl$,
                v_name, v_queue
            );
    END CASE;
END
$$;
COMMENT ON FUNCTION pgmq._add_index(text, text) IS 'Create an index of a queue''s table, which its prefix names, unless it is there and valid.';
