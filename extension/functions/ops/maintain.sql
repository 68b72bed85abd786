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
    v_wanted CONSTANT text := pg_catalog.current_setting('lock_timeout'::text);
BEGIN
    IF queue_name IS NOT NULL THEN
        PERFORM pgmq._compiled('enqueue', queue_name);     -- an unknown queue is an error
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
        -- It keeps the locks of those that it is through with. Who waits for these and has locked
        -- another, to drop both, would find a deadlock.
        PERFORM pg_catalog.set_config('lock_timeout'::text, pgmq._short_lock_timeout(), true);
        -- In random order: if there are too many queues for one call, each still gets its turn.
        FOR v_queue_name IN SELECT m.queue_name FROM pgmq.meta AS m ORDER BY random() LOOP
            IF v_done % 20 = 19 AND pgmq._locks_run_short() THEN
                RAISE WARNING 'maintain() leaves out all queues but %, or its locks would be too many',
                    v_done
                    USING HINT = 'Call it for each queue, and commit after each.';
                EXIT;
            END IF;
            v_done := v_done + 1;
            -- A queue that cannot be maintained must not hold up the others.
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
        PERFORM pg_catalog.set_config('lock_timeout'::text, v_wanted, true);
        PERFORM pgmq._warn_of_others(
            'maintain()',
            ARRAY(SELECT o.name FROM pg_catalog.unnest(v_others) AS o (name) ORDER BY o.name),
            'Their owners call it, or a role without other rights that grant_maintain was called for.'
        );
    END IF;
    PERFORM pgmq._shed_if_last();
    PERFORM pgmq._restore_search_path(v_path);
    PERFORM pgmq.close_dead_channels();
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION pgmq.maintain(text) IS
'Do all the upkeep of a queue (null: of all the caller''s queues) that calls else do in small steps.

- Messages that have expired or were received too often are moved away, wherever in the queue they
  are.
- Archived messages are removed after archive_retention, and deduplication keys after dedup_window.
- The low-water marks are corrected, as is needed after a restore or a takeover from logical
  replication.
- Partitions of partitioned queues and of streams are added, filled and dropped. Only a READ
  COMMITTED transaction drops them: another would not see that something is to be kept since.
- Messages that are due by schedules are sent.
- Dead channels are closed.
- An upgrade from 2.0.0 is finished, if the queue was in use during it.

Returns how many messages and keys were moved or removed, all in one transaction. If the locks do
not suffice for all queues, as many as possible are done, in random order, with a warning. Then call
maintain for each queue, and commit after each. If one of all queues fails, that is a warning.

Call it from a scheduler such as pg_cron. Reads go on meanwhile, except on a partitioned queue: if
partitions are added or dropped, or messages moved out of the default one, it is locked until the
transaction ends. Adding a partition locks out only writers, and adding one for later times nobody.
What cannot be locked within half a second is left, with a warning; and, of all queues, one that is
locked for longer than a twentieth of deadlock_timeout (1 s unless set).

The owner of a queue and members of that role may call it, and roles that grant_maintain was called
for. Queues of others are left out, with a warning that names them; asking for one by name is an
error. The same holds for superusers, since they would run what the owner has put into the queue:
schedule it as the owner.';

CREATE OR REPLACE FUNCTION pgmq._try_maintain(queue_name text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_function regprocedure;
    v_count bigint;
BEGIN
    IF pgmq._unsafe_owner(queue_name) IS NULL THEN
        PERFORM pgmq._compiled('enqueue', queue_name);      -- an unknown queue is an error
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
'Do all the upkeep of one queue if the caller may; null if not.

The owner may, and a scheduler that grant_maintain() has been called for.';
