CREATE OR REPLACE FUNCTION pgmq.maintain(queue_name text DEFAULT null)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_path CONSTANT text := pg_catalog.current_setting('search_path'::text);
    v_queue_name text;
    v_others text[] := '{}'::text[];
    v_moved bigint;
    v_count bigint := 0;
    v_done integer := 0;
BEGIN
    IF queue_name IS NOT NULL THEN
        PERFORM pgmq._compiled('read', queue_name);     -- an unknown queue is an error
        v_count := pgmq._try_maintain(queue_name);
        IF v_count IS NULL THEN
            RAISE EXCEPTION 'only its owner maintains queue "%"', queue_name
                USING ERRCODE = 'insufficient_privilege',
                    HINT = pg_catalog.format(
                        'Log in as %s, not as a superuser; or as a role that has no other rights'
                        ' and that SELECT pgmq.grant_maintain(%L, ...) was called for.',
                        pgmq._unsafe_owner(queue_name), queue_name
                    );
        END IF;
    ELSE
        -- By chance, for those of which there are too many for one call: so each has its turn.
        FOR v_queue_name IN SELECT m.queue_name FROM pgmq.meta AS m ORDER BY random() LOOP
            IF v_done % 20 = 19 AND pgmq._locks_run_short() THEN
                RAISE WARNING 'maintain() leaves out all queues but %, or its locks would be too many',
                    v_done
                    USING HINT = 'Call it for each queue, and commit after each.';
                EXIT;
            END IF;
            v_done := v_done + 1;
            -- One that cannot be maintained must not keep the others from it.
            BEGIN
                v_moved := pgmq._try_maintain(v_queue_name);
                IF v_moved IS NULL THEN
                    v_others := pg_catalog.array_append(v_others, v_queue_name);
                ELSE
                    v_count := v_count + v_moved;
                END IF;
            EXCEPTION WHEN OTHERS THEN
                RAISE WARNING 'maintenance of queue "%" failed: %', v_queue_name, SQLERRM;
            END;
        END LOOP;
        PERFORM pgmq._warn_of_others(
            'maintain()',
            ARRAY(SELECT o.name FROM pg_catalog.unnest(v_others) AS o (name) ORDER BY o.name),
            'Their owners call it, or a role without other rights that grant_maintain was called for.'
        );
    END IF;
    PERFORM pgmq._restore_search_path(v_path);
    PERFORM pgmq.close_dead_channels();
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION pgmq.maintain(text) IS
'Do at once, for one queue or (null) for all of the caller''s, what other calls do in small steps.

It moves away the messages that were received too often or have expired, wherever in the queue they are, removes what archive_retention and dedup_window keep no longer, puts right the low-water marks (after a restore, or a takeover from logical replication), adds, fills and drops the partitions of partitioned queues, and closes dead channels. Returns how many messages and keys it moved or removed, in one transaction. Where there are too many queues for that, for the locks, it does as many as it can, by chance, with a warning: then call it for each queue, and commit after each.

For a scheduler, such as pg_cron; reads go on meanwhile, except on a partitioned queue of which partitions are added or dropped, or messages moved from the default one: it is locked until the transaction ends, for an addition against writers alone, and for one of later times not at all. What cannot be locked within half a second is a warning, and left. Where one of all queues fails, that is a warning.

For the owner of a queue and members of that role, and for a role that grant_maintain was called for. Queues of others are left out, with a warning that names them; naming one is an error. So it is for superusers, who would run what the owner has put into the queue: schedule it as the owner.';

CREATE OR REPLACE FUNCTION pgmq._try_maintain(queue_name text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_function regprocedure;
    v_count bigint;
BEGIN
    IF pgmq._unsafe_owner(queue_name) IS NULL THEN
        PERFORM pgmq._compiled('advance', queue_name);      -- an unknown queue is an error
        RETURN pgmq._maintain(queue_name);
    END IF;
    v_function := to_regprocedure(
        pg_catalog.format('pgmq.%I()', pgmq._function_name('scheduled', queue_name))
    );
    IF has_function_privilege(v_function::oid, 'EXECUTE'::text)
        AND NOT EXISTS (
            SELECT FROM pgmq._callers() AS c (id) WHERE pgmq._has_other_rights(c.id)
        )
    THEN
        EXECUTE pg_catalog.format('SELECT %s', v_function) INTO v_count;
    END IF;
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION pgmq._try_maintain(text) IS
'Do all the upkeep of one queue if the caller may; null for whoever may not.

The owner may, and a scheduler that grant_maintain() has been called for.';
