CREATE OR REPLACE FUNCTION pgmq._find_or_compile(operation text, queue_name text)
RETURNS text
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_function text;
    v_name text;
    v_table regclass;
BEGIN
    IF queue_name IS NULL THEN
        PERFORM pgmq._raise_null('queue name', 'pgmq.list_queues() has the names there are.');
    END IF;
    v_function := pgmq._function_name(operation, queue_name);
    IF to_regproc(format('pgmq.%I', v_function)) IS NOT NULL THEN
        RETURN v_function;
    END IF;
    v_name := pgmq.format_table_name(queue_name, 'q');
    -- Something else may have the name: a sequence, or a partition of another queue.
    v_table := (
        SELECT c.oid FROM pg_class AS c
        WHERE c.oid = to_regclass(format('pgmq.%I', v_name)) AND c.relkind IN ('r', 'p')
            AND pgmq._is_listed(queue_name)
    );
    -- This waits for a transaction that creates or drops the table, and lets this session notice
    -- the result: the queue and its functions may just have been created.
    IF pg_relation_size(v_table) IS NOT NULL
        AND to_regproc(format('pgmq.%I', v_function)) IS NOT NULL
    THEN
        RETURN v_function;
    END IF;
    IF v_table IS NULL AND pgmq._looks_like_queue(pgmq._queue_table(queue_name), false) THEN
        -- A partial restore has left the table without its row.
        RAISE EXCEPTION 'queue "%" is not in pgmq.meta, only its table is there', queue_name
            USING ERRCODE = 'undefined_table',
                HINT = format(
                    'SELECT pgmq.%s takes the table over, with its messages.',
                    CASE
                        WHEN pgmq._is_stream(pgmq._queue_table(queue_name))
                            THEN format('create_stream(%L, ...)', queue_name)
                        WHEN pgmq._partition_column(pgmq._queue_table(queue_name)::text) IS NOT NULL
                            THEN format('create_partitioned(%L, ...)', queue_name)
                        ELSE format('create(%L)', queue_name)
                    END
                );
    ELSIF NOT EXISTS (SELECT FROM pg_class AS c WHERE c.oid = v_table) THEN
        -- Clients of pgmq 1 look for Postgres' words about the table. Many drivers show the message
        -- alone, so these are in there, not in the detail.
        RAISE EXCEPTION 'queue "%" does not exist (relation "pgmq.%" does not exist)',
            queue_name, v_name
            USING ERRCODE = 'undefined_table',
                HINT = format(
                    'Create it with SELECT pgmq.%s(%L).',
                    CASE WHEN operation IN ('fetch', 'commit') THEN 'create_stream' ELSE 'create' END,
                    queue_name
                );
    END IF;

    -- This queue is whole, so the operation is one that not every queue has.
    IF to_regproc(format('pgmq.%I', pgmq._function_name('enqueue', queue_name))) IS NOT NULL THEN
        PERFORM pgmq._check_operation(operation, queue_name);
        IF (
            SELECT bool_and(t.features NOT IN ('leases', 'plain', 'stream'))
            FROM pgmq._templates() AS t
            WHERE t.name = operation
        )
        THEN
            RETURN null;
        END IF;
    END IF;

    -- A partial restore has left the table without its functions.
    IF NOT has_schema_privilege('pgmq', 'CREATE')
        OR NOT pg_has_role(
            current_user, pgmq._owner(v_table), 'USAGE'
        )
    THEN
        RAISE EXCEPTION 'queue "%" has lost its compiled functions', queue_name
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = format(
                    'A superuser, or %s, its owner, can SELECT pgmq.recompile(%L).',
                    pgmq._owner(v_table), queue_name
                );
    END IF;
    PERFORM pgmq.acquire_queue_lock(lower(queue_name));
    IF pg_relation_size(v_table) IS NULL OR to_regproc(format('pgmq.%I', v_function)) IS NULL THEN
        PERFORM pgmq._lay_out(queue_name);
        PERFORM pgmq._lay_out_policy(pgmq._policy_of(queue_name));
        PERFORM pgmq._compile(queue_name);
    END IF;
    RETURN CASE WHEN to_regproc(format('pgmq.%I', v_function)) IS NOT NULL THEN v_function END;
END
$$;
COMMENT ON FUNCTION pgmq._find_or_compile(text, text) IS
'Called if no compiled function has the name of the queue as it was written.

Finds the queue under its proper name and compiles it if needed, or raises the error for an unknown
queue. Returns null for an operation that the queue lacks because a feature is not enabled.';

CREATE OR REPLACE FUNCTION pgmq._check_operation(operation text, queue_name text)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_features CONSTANT text[] := ARRAY(
        SELECT t.features FROM pgmq._templates() AS t WHERE t.name = operation
    );
    v_is_stream CONSTANT boolean := pgmq._is_stream(pgmq._queue_table(queue_name));
BEGIN
    IF v_is_stream AND v_features && '{leases,plain,partitioned,fifo,fair}'
        AND NOT v_features && '{stream}'
    THEN
        PERFORM pgmq._refuse_stream(queue_name);
    ELSIF NOT v_is_stream AND v_features = '{stream}' THEN
        RAISE EXCEPTION 'queue "%" is not a stream', queue_name
            USING ERRCODE = 'feature_not_supported',
                HINT = 'Call read(), or have a stream of another name: pgmq.create_stream().';
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._check_operation(text, text) IS
'Raise an error for an operation that streams do not have, or that only they have.';
