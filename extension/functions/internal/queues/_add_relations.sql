-- What Postgres itself would say of each relation, with a hint.
CREATE OR REPLACE FUNCTION pgmq._check_create()
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT has_schema_privilege('pgmq', 'CREATE') THEN
        RAISE EXCEPTION 'permission denied for schema pgmq'
            USING ERRCODE = 'insufficient_privilege',
                HINT = format('Its owner can SELECT pgmq.grant_create(%L).', current_user);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._check_create() IS
'Raise an error unless the caller may create what a queue consists of.';

CREATE OR REPLACE FUNCTION pgmq._add_relations(queue_name text, needed_by text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_relation record;
BEGIN
    -- A drop takes the lock of the name before it locks the table. And another session may be about
    -- to create them.
    IF EXISTS (
        SELECT FROM pgmq._relations(queue_name) AS r
        CROSS JOIN LATERAL to_regclass(format('pgmq.%I', r.name)) AS c (id)
        WHERE r.needed_by IS NOT DISTINCT FROM _add_relations.needed_by
            AND (r.parent = 'queue' OR r.kind = 'sequence')
            AND (
                c.id IS NULL
                OR NOT (SELECT i.indisvalid FROM pg_index AS i WHERE i.indexrelid = c.id)
            )
    )
    THEN
        PERFORM pgmq._lock_queue(queue_name);
    END IF;
    FOR v_relation IN
        SELECT r.role, r.kind
        FROM pgmq._relations(queue_name) AS r
        WHERE r.needed_by IS NOT DISTINCT FROM _add_relations.needed_by
            AND (r.parent = 'queue' OR r.kind = 'sequence')
    LOOP
        IF v_relation.kind = 'index' THEN
            PERFORM pgmq._build_index(v_relation.role, queue_name);
        ELSE
            PERFORM pgmq._add_sequence(v_relation.role, queue_name);
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._add_relations(text, text) IS
'Create the sequences, and the indexes of the table, that a feature of a queue needs.

A null feature stands for those that every queue has.';

CREATE OR REPLACE FUNCTION pgmq._build_index(role text, queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_index record;
    v_relation regclass;
BEGIN
    SELECT r.name, r.parent, r.definition INTO STRICT v_index
    FROM pgmq._relations(queue_name) AS r
    WHERE r.role = _build_index.role;
    v_relation := to_regclass(format('pgmq.%I', v_index.name));
    -- An invalid index is left over from a CREATE INDEX CONCURRENTLY that failed.
    IF NOT (SELECT i.indisvalid FROM pg_index AS i WHERE i.indexrelid = v_relation) THEN
        EXECUTE format('DROP INDEX %s', v_relation);
        v_relation := null;
    END IF;
    -- IF NOT EXISTS would lock the table before it looks, and fails for anybody but the owner.
    IF EXISTS (
        SELECT FROM pg_class AS c WHERE c.oid = v_relation AND pg_has_role(c.relowner, 'USAGE')
    )
    THEN
        RETURN;
    END IF;
    PERFORM pgmq._check_create();
    IF role = 'part_idx' THEN
        v_index.definition := format(
            v_index.definition, pgmq._partition_column(pgmq._queue_table(queue_name)::text)
        );
    END IF;
    EXECUTE format(
        'CREATE INDEX IF NOT EXISTS %I ON pgmq.%I %s',
        v_index.name, pgmq._relation_name(v_index.parent, queue_name), v_index.definition
    );
END
$$;
COMMENT ON FUNCTION pgmq._build_index(text, text) IS
'Create an index of a queue unless it is there and valid.';

CREATE OR REPLACE FUNCTION pgmq._mark_column(role text, queue_name text)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        -- Epochs never begin again.
        WHEN role = 'epoch'
            THEN format('pgmq.%I.version', pgmq._relation_name('lane', queue_name))
        WHEN pgmq._is_stream(q.id) THEN format('%s.enqueued_at', q.id)
        ELSE format('%s.vt', q.id)
    END
    FROM pgmq._queue_table(queue_name) AS q (id)
$$;
COMMENT ON FUNCTION pgmq._mark_column(text, text) IS
'The column of a queue that a sequence belongs to, by its role.';

-- Marks and due times live in sequences: no dead rows, no lock, readable without a plan. They
-- belong to a column, so that they go with the table, and TRUNCATE ... RESTART IDENTITY restarts
-- them with the ids.
CREATE OR REPLACE FUNCTION pgmq._add_sequence(role text, queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_name CONSTANT text := format('pgmq.%I', pgmq._relation_name(role, queue_name));
    v_queue CONSTANT regclass := pgmq._queue_table(queue_name);
    v_owner CONSTANT regrole := pgmq._owner(v_queue);
    v_column CONSTANT text := pgmq._mark_column(role, queue_name);
BEGIN
    IF to_regclass(v_name) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pgmq._check_create();
    EXECUTE format(
        'CREATE SEQUENCE %s %s %s', v_name,
        CASE WHEN role <> 'epoch' THEN 'MINVALUE -9223372036854775808' END,
        CASE WHEN v_owner = quote_ident(current_user)::regrole THEN format('OWNED BY %s', v_column) END
    );
    IF role <> 'epoch' THEN
        EXECUTE format('GRANT SELECT ON SEQUENCE %s TO public', v_name);
    ELSE
        EXECUTE format(
            'SELECT setval(%L, max(l.version)) FROM pgmq.%I AS l HAVING max(l.version) > 0',
            v_name, pgmq._relation_name('lane', queue_name)
        );
    END IF;
    IF v_owner <> quote_ident(current_user)::regrole THEN
        EXECUTE format('ALTER SEQUENCE %s OWNER TO %s', v_name, v_owner);
        EXECUTE format('ALTER SEQUENCE %s OWNED BY %s', v_name, v_column);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._add_sequence(text, text) IS
'Create a sequence of a queue unless it is there.';
