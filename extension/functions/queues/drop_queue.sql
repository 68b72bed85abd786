CREATE OR REPLACE FUNCTION pgmq.drop_queue(queue_name text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_table text := pgmq.format_table_name(queue_name, 'q');
    v_wanted CONSTANT text := current_setting('lock_timeout');
    v_short CONSTANT text := pgmq._short_lock_timeout();
    v_has_table boolean;
    v_attempts integer := 0;
BEGIN
    PERFORM pgmq.acquire_queue_lock(lower(queue_name));
    -- A table called q_... that is not listed may be another queue's partition, or made by hand. Or
    -- somebody has deleted the queue's row.
    IF NOT pgmq._is_listed(queue_name)
        AND NOT pgmq._looks_like_queue(to_regclass('pgmq.' || quote_ident(v_table)), false)
    THEN
        RAISE NOTICE 'pgmq queue `%` does not exist', queue_name;
        RETURN false;
    END IF;
    PERFORM pgmq._refuse_source(queue_name), pgmq._check_cascade(format('queue "%s"', queue_name));

    -- An attempt first waits for the queue's table, holding no other relation; later users of the
    -- table wait behind it. Some of them may hold what is locked next (a partition, a mark, the
    -- archive), and waiting for that could be a deadlock. So the attempt then gives up well before
    -- deadlock_timeout and releases everything, the others go on, and the next attempt follows.
    v_table := format('pgmq.%I', v_table);
    LOOP
        v_has_table := false;
        v_attempts := v_attempts + 1;
        BEGIN
            IF to_regclass(v_table) IS NOT NULL THEN
                EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', v_table);
            END IF;
            v_has_table := true;
            PERFORM set_config('lock_timeout', v_short, true);
            PERFORM pgmq._drop_queue(queue_name);
            EXIT;
        EXCEPTION
            WHEN lock_not_available OR deadlock_detected THEN
                IF NOT v_has_table OR v_attempts = 1000 THEN        -- some minutes
                    RAISE;
                END IF;
            WHEN out_of_memory THEN
                RAISE EXCEPTION 'queue "%" cannot be dropped: %', queue_name, SQLERRM
                    USING ERRCODE = 'out_of_memory',
                        HINT = 'A transaction keeps the locks of all that it drops. Commit after each'
                            ' queue, or raise max_locks_per_transaction and restart the server.';
        END;
        -- Nor does Postgres see a deadlock with what this transaction has locked before.
        IF v_attempts % 20 = 0 AND pgmq._is_awaited_by_users(queue_name) THEN
            RAISE EXCEPTION 'queue "%" cannot be dropped: who uses it waits for this transaction',
                queue_name
                USING ERRCODE = 'deadlock_detected',
                    HINT = 'Drop each queue in a transaction of its own.';
        END IF;
        PERFORM pg_sleep(least(0.01 * v_attempts, 0.5));
    END LOOP;
    PERFORM set_config('lock_timeout', v_wanted, true);
    RETURN true;
END
$$;
COMMENT ON FUNCTION pgmq.drop_queue(text) IS
'Drop a queue with its messages, its archive and its functions.

Returns false, with a notice, when there is no such queue. The remains of a queue whose table or row
in pgmq.meta was removed by hand are removed as well. Raises dependent_objects_still_exist if
another queue sends its dead letters to this one.

The call waits for the transactions that use the queue. It keeps dozens of locks until its own
transaction ends: to drop hundreds of queues, commit after each.';

CREATE OR REPLACE FUNCTION pgmq._drop_queue(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
    v_table text;
BEGIN
    -- The tables' indexes and sequences go with them.
    FOR v_table IN
        SELECT r.name FROM pgmq._relations(queue_name) AS r WHERE r.kind = 'table'
    LOOP
        PERFORM pgmq._partman_forget(v_table);
        -- IF EXISTS: somebody may have dropped some of the tables by hand.
        EXECUTE format('DROP TABLE IF EXISTS pgmq.%I', v_table);
    END LOOP;
    PERFORM pgmq.unpin(queue_name);
    DELETE FROM pgmq.meta AS m WHERE lower(m.queue_name) = lower(_drop_queue.queue_name);
    IF NOT FOUND THEN       -- else a trigger has done it
        PERFORM pgmq._retire(queue_name);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._drop_queue(text) IS
'Drop everything that a queue consists of, and its rows in the tables of the extension.';

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
'Deprecated form of drop_queue, kept for callers of pgmq 1.

The second argument is ignored, and the result is always true.';
