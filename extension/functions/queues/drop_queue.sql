CREATE OR REPLACE FUNCTION pgmq.drop_queue(queue_name text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_queue text := pgmq.format_table_name(queue_name, 'q');
    v_source text;
BEGIN
    PERFORM pgmq.acquire_queue_lock(lower(queue_name));
    IF NOT EXISTS (
        SELECT FROM pg_class AS c
        WHERE c.oid = to_regclass('pgmq.' || quote_ident(v_queue)) AND c.relkind IN ('r', 'p')
    )
        AND NOT EXISTS (
            SELECT FROM pgmq.meta AS m WHERE lower(m.queue_name) = lower(drop_queue.queue_name)
        )
    THEN
        RAISE NOTICE 'pgmq queue `%` does not exist', queue_name;
        RETURN false;
    END IF;

    SELECT p.queue_name INTO v_source
    FROM pgmq.policy AS p
    WHERE lower(p.dead_letter_queue) = lower(drop_queue.queue_name)
    ORDER BY p.queue_name
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'queue "%" takes the dead letters of queue "%"', queue_name, v_source
            USING ERRCODE = 'dependent_objects_still_exist',
                HINT = format(
                    'Drop queue "%s", or set its policy without this dead_letter_queue, first.',
                    v_source
                );
    END IF;

    PERFORM pgmq._partman_forget(v_queue);
    PERFORM pgmq._partman_forget(pgmq.format_table_name(queue_name, 'a'));
    -- IF EXISTS: what is left of a queue that lost its table goes as well.
    EXECUTE format('DROP TABLE IF EXISTS pgmq.%I', v_queue);
    EXECUTE format('DROP TABLE IF EXISTS pgmq.%I', pgmq.format_table_name(queue_name, 'a'));
    IF to_regclass(format('pgmq.%I', 'dedup_' || pgmq._suffix(queue_name))) IS NOT NULL THEN
        EXECUTE format('DROP TABLE pgmq.%I', 'dedup_' || pgmq._suffix(queue_name));
    END IF;
    PERFORM pgmq._drop_compiled(t.name, queue_name) FROM pgmq.template AS t;
    PERFORM pgmq._drop_compiled('scheduled', queue_name);
    EXECUTE format('DROP TYPE IF EXISTS pgmq.%I', '_message_' || pgmq._suffix(queue_name));
    DELETE FROM pgmq.meta AS m WHERE lower(m.queue_name) = lower(drop_queue.queue_name);
    RETURN true;
END
$$;
COMMENT ON FUNCTION pgmq.drop_queue(text) IS
'Drop a queue with its messages, its archive and its functions; false, with a notice, when there is none. Also removes what is left of a queue whose table was dropped by hand. Waits for the transactions that use the queue. Raises dependent_objects_still_exist for the dead-letter queue of another.';

CREATE OR REPLACE FUNCTION pgmq.drop_queue(queue_name text, partitioned boolean)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM pgmq.format_table_name(queue_name, 'q');
    RAISE WARNING 'drop_queue(queue_name, partitioned) is deprecated and will be removed in PGMQ v2.0. Use drop_queue(queue_name) instead';
    PERFORM pgmq.drop_queue(queue_name);
    RETURN true;
END
$$;
COMMENT ON FUNCTION pgmq.drop_queue(text, boolean) IS
'Deprecated form of drop_queue, kept for callers of pgmq 1: the second argument is ignored, the result is true.';
