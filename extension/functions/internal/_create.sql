CREATE OR REPLACE FUNCTION pgmq._create(queue_name text, unlogged boolean)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_queue text := pgmq.format_table_name(queue_name, 'q');
    v_archive text := pgmq.format_table_name(queue_name, 'a');
    v_other text;
BEGIN
    IF queue_name IS NULL THEN
        PERFORM pgmq._raise_null('queue name', 'Give a name of up to 47 characters.');
    END IF;
    PERFORM pgmq.validate_queue_name(queue_name);
    IF octet_length(v_queue) > 63 THEN
        RAISE EXCEPTION 'queue name "%" is too long in bytes: %, maximum is 61',
            queue_name, octet_length(queue_name)
            USING ERRCODE = 'name_too_long',
                HINT = 'A longer one would share its table with other names that begin alike.';
    END IF;
    PERFORM pgmq.acquire_queue_lock(lower(queue_name));

    SELECT m.queue_name INTO v_other
    FROM pgmq.meta AS m
    WHERE lower(m.queue_name) = lower(_create.queue_name) AND m.queue_name <> _create.queue_name
        AND NOT EXISTS (SELECT FROM pgmq.meta AS s WHERE s.queue_name = _create.queue_name);
    IF FOUND THEN
        RAISE EXCEPTION 'queue "%" would share its table with queue "%"', queue_name, v_other
            USING ERRCODE = 'duplicate_table',
                HINT = 'Names that differ only in case are one queue to every other function:'
                    ' use the existing one.';
    END IF;

    IF (
        SELECT c.relkind FROM pg_class AS c WHERE c.oid = to_regclass(format('pgmq.%I', v_queue))
    ) NOT IN ('r', 'p')
    THEN
        RAISE EXCEPTION 'queue "%" cannot be created: relation pgmq.% exists and is not a table',
            queue_name, quote_ident(v_queue)
            USING ERRCODE = 'duplicate_table', HINT = 'Choose another name.';
    END IF;
    IF to_regclass(format('pgmq.%I', v_queue)) IS NOT NULL
        AND to_regclass(format('pgmq.%I', v_archive)) IS NOT NULL
        AND EXISTS (SELECT FROM pgmq.meta AS m WHERE m.queue_name = _create.queue_name)
        AND to_regproc(format('pgmq.%I', pgmq._function_name('send', queue_name))) IS NOT NULL
    THEN
        RAISE NOTICE 'queue "%" already exists, skipping', queue_name
            USING ERRCODE = 'duplicate_table';
        RETURN;
    END IF;

    EXECUTE format(
        $ddl$
        CREATE %s TABLE IF NOT EXISTS pgmq.%I (
            msg_id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
            read_ct integer NOT NULL DEFAULT 0,
            enqueued_at timestamptz NOT NULL DEFAULT now(),
            last_read_at timestamptz,
            vt timestamptz NOT NULL,
            message jsonb,
            headers jsonb
        )
        $ddl$,
        CASE WHEN unlogged THEN 'UNLOGGED' END, v_queue
    );
    EXECUTE format(
        $ddl$
        CREATE TABLE IF NOT EXISTS pgmq.%I (
            msg_id bigint PRIMARY KEY,
            read_ct integer NOT NULL DEFAULT 0,
            enqueued_at timestamptz NOT NULL DEFAULT now(),
            last_read_at timestamptz,
            archived_at timestamptz NOT NULL DEFAULT now(),
            vt timestamptz NOT NULL,
            message jsonb,
            headers jsonb
        )
        $ddl$,
        v_archive
    );
    EXECUTE format(
        'CREATE INDEX IF NOT EXISTS %I ON pgmq.%I (archived_at)',
        'archived_at_idx_' || pgmq._suffix(queue_name), v_archive
    );
    INSERT INTO pgmq.meta (queue_name, is_partitioned, is_unlogged)
    VALUES (_create.queue_name, false, _create.unlogged)
    ON CONFLICT DO NOTHING;
    PERFORM pgmq._lay_out(queue_name);
    PERFORM pgmq._compile(queue_name);
END
$$;
COMMENT ON FUNCTION pgmq._create(text, boolean) IS
'Create what a plain queue consists of; what is there already stays as it is.';
