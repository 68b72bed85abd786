-- Over queues in use, upstream's or of 2.0.0: lock all that is locked later now, everything or
-- nothing. Of 2.0.0, that is only what all queues share: its queues keep their tables as they are,
-- and its functions stay until no call needs them: see functions/internal/_of_2_0_0.sql.
--
-- To wait for one table while holding another could be a deadlock with a client that uses both in a
-- transaction. So an attempt gives up well before such a client would be told of a deadlock, and in
-- between all clients go on. But a consumer in read_with_poll() holds a table as long as it waits,
-- and others come meanwhile: the next attempt locks such a table first and waits for it longer, and
-- new clients queue behind.
DO $$
DECLARE
    v_wanted CONSTANT text := current_setting('lock_timeout');
    -- Milliseconds: for a table that is held for long, by default 10 s; and for the others.
    v_long CONSTANT integer := (
        SELECT coalesce(nullif(s.setting::integer, 0), 10000)
        FROM pg_settings AS s
        WHERE s.name = 'lock_timeout'
    );
    v_short CONSTANT integer := (
        SELECT least(s.setting::integer / 2, v_long)
        FROM pg_settings AS s
        WHERE s.name = 'deadlock_timeout'
    );
    v_room CONSTANT bigint := current_setting('max_locks_per_transaction')::bigint * (
        current_setting('max_connections')::bigint
        + current_setting('max_prepared_transactions')::bigint
    );
    v_each integer;
    v_is_2_0_0 boolean := false;
    v_queues bigint;
    v_tables oid[];
    v_time integer;
    v_slow oid[] := '{}'::oid[];
    v_given_up boolean := false;
    v_end timestamptz;
    v_table record;
    v_queue record;
    v_holders integer[];
    v_prepared text[];
BEGIN
    IF to_regclass('pgmq.meta') IS NULL THEN
        RETURN;
    END IF;
    IF to_regclass('pgmq.template') IS NOT NULL THEN
        v_is_2_0_0 := EXISTS (SELECT FROM pgmq.template AS t WHERE t.name = 'send');
        IF NOT v_is_2_0_0 THEN
            RETURN;
        END IF;
    END IF;

    -- Every queue is changed, and a queue belongs to who created it.
    SELECT m.queue_name AS name, c.relowner::regrole AS owner INTO v_queue
    FROM pgmq.meta AS m
    INNER JOIN pg_class AS c
        ON c.oid = to_regclass(format('pgmq.%I', pgmq.format_table_name(m.queue_name, 'q')))
    WHERE NOT pg_has_role(c.relowner, 'USAGE')
    ORDER BY m.queue_name
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'queue "%" belongs to role %, and not to %',
            v_queue.name, v_queue.owner, current_user
            USING ERRCODE = 'insufficient_privilege', HINT = format(
                'Until this is done, the owner of pgmq must be a member of the owners of all queues:'
                ' GRANT %s TO %I.',
                v_queue.owner, current_user
            );
    END IF;

    -- How many locks each queue takes, for what is locked and created. In an extension's script its
    -- functions count as well: they enter and leave the extension.
    v_each := CASE WHEN v_is_2_0_0 THEN 20 ELSE 12 END + CASE WHEN EXISTS (
        SELECT FROM pg_extension AS e WHERE e.extname = 'pgmq'
    ) THEN 40 ELSE 0 END;
    SELECT count(*) INTO v_queues FROM pgmq.meta;
    IF v_queues * v_each > v_room THEN
        RAISE EXCEPTION 'to bring % queues here takes about % locks, of which the server has %',
            v_queues, v_queues * v_each, v_room
            USING ERRCODE = 'configuration_limit_exceeded',
                HINT = format(
                    'Set max_locks_per_transaction = %s, restart the server and run this again;'
                    ' afterwards it may be what it was.',
                    ceil(64 + 1.2 * v_queues * v_each
                        * current_setting('max_locks_per_transaction')::bigint / v_room)
                );
    END IF;
    -- INFO, because nobody sees the notices of an extension's script.
    FOR v_queue IN
        SELECT m.queue_name, (sum(pg_relation_size(l.leaf)) / 1000000)::bigint AS size
        FROM pgmq.meta AS m
        CROSS JOIN to_regclass(
            format('pgmq.%I', pgmq.format_table_name(m.queue_name, 'q'))
        ) AS q (id)
        LEFT JOIN pg_partition_tree(q.id) AS t ON t.isleaf
        CROSS JOIN coalesce(t.relid, q.id) AS l (leaf)
        WHERE NOT EXISTS (
            SELECT FROM pg_index AS i
            WHERE i.indrelid = l.leaf AND i.indisvalid AND i.indpred IS NOT NULL
            HAVING count(*) >= 2
        )
        GROUP BY m.queue_name
        HAVING sum(pg_relation_size(l.leaf)) >= 10000000
        ORDER BY m.queue_name
    LOOP
        RAISE INFO 'queue "%": indexes of % MB of messages are built while all its clients wait,'
            ' for about % s', v_queue.queue_name, v_queue.size, v_queue.size / 100 + 1
            USING HINT = 'extension/upgrade/prepare.sql builds them beforehand, and nobody waits.';
    END LOOP;

    v_tables := ARRAY(
        SELECT to_regclass(format('pgmq.%I', pgmq.format_table_name(m.queue_name, k.kind)))
        FROM pgmq.meta AS m
        CROSS JOIN (VALUES ('q'), ('a')) AS k (kind)
        WHERE NOT v_is_2_0_0
        UNION ALL
        SELECT to_regclass(format('pgmq.%I', t.name))
        FROM unnest(ARRAY[
            'meta', 'topic_bindings', 'notify_insert_throttle', 'policy', 'partitioning', 'exchange',
            'binding', 'channel', 'channel_slot'
        ]) AS t (name)
    );
    -- The attempts go on for some minutes. Every fifth one is longer, for queues with very many
    -- clients.
    FOR v_attempt IN 1..500 LOOP
        v_time := CASE
            WHEN v_attempt % 5 = 0 AND v_slow = '{}' THEN v_short ELSE ceil(v_short / 20.0)
        END;
        v_end := null;
        BEGIN
            FOR v_table IN
                SELECT c.oid, format('pgmq.%I', c.relname) AS name
                FROM pg_class AS c
                WHERE c.oid = ANY (v_tables)
                -- Slow tables first, the others in the order in which senders use them.
                ORDER BY
                    array_position(v_slow, c.oid),
                    c.relname <> 'topic_bindings',
                    c.relname = 'notify_insert_throttle',
                    c.relname = 'meta',
                    c.oid
            LOOP
                IF v_table.oid = ANY (v_slow) THEN
                    PERFORM set_config('lock_timeout', v_long::text, true);
                ELSE
                    v_end := coalesce(v_end, clock_timestamp() + v_time * interval '1 ms');
                    PERFORM set_config(
                        'lock_timeout',
                        ceil(greatest(1, extract(epoch FROM v_end - clock_timestamp()) * 1000))::text,
                        true
                    );
                END IF;
                BEGIN
                    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', v_table.name);
                EXCEPTION WHEN lock_not_available THEN
                    -- No process holds the locks of a prepared transaction: its own id is one of them.
                    SELECT array_agg(DISTINCT l.pid), array_agg(DISTINCT p.gid)
                    INTO v_holders, v_prepared
                    FROM pg_locks AS l
                    LEFT JOIN pg_locks AS x
                        ON l.virtualtransaction = x.virtualtransaction
                        AND x.locktype = 'transactionid' AND l.pid IS NULL AND x.pid IS NULL
                    LEFT JOIN pg_prepared_xacts AS p ON x.transactionid = p.transaction
                    WHERE l.relation = v_table.oid AND l.granted
                        AND l.database = (
                            SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()
                        )
                        AND l.pid IS DISTINCT FROM pg_backend_pid();
                    PERFORM pg_stat_clear_snapshot();
                    IF v_table.oid = ANY (v_slow) THEN
                        v_given_up := true;
                    ELSIF EXISTS (
                        SELECT FROM pg_stat_activity AS a
                        WHERE a.pid = ANY (v_holders) AND a.wait_event_type IN ('Client', 'Timeout')
                            AND a.xact_start < clock_timestamp() - 2 * v_short * interval '1 ms'
                    ) OR EXISTS (
                        SELECT FROM pg_prepared_xacts AS p
                        WHERE p.gid = ANY (v_prepared)
                            AND p.prepared < clock_timestamp() - 2 * v_short * interval '1 ms'
                    )
                    THEN
                        v_slow := v_slow || v_table.oid;
                    END IF;
                    RAISE;
                END;
            END LOOP;
            -- Creating and compiling a queue take these locks. A name counts as it is written and
            -- in lower case.
            PERFORM pgmq.acquire_queue_lock(n.name)
            FROM (SELECT queue_name FROM pgmq.meta UNION SELECT lower(queue_name) FROM pgmq.meta)
                AS n (name);
            PERFORM set_config('lock_timeout', v_wanted, true);
            RETURN;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            NULL;
        END;
        EXIT WHEN v_given_up;
        PERFORM pg_sleep(v_time / 1000.0);
    END LOOP;
    RAISE EXCEPTION 'table % is in use by a transaction that does not end', v_table.name
        USING ERRCODE = 'lock_not_available',
            DETAIL = concat_ws(
                ' ',
                'Processes: ' || nullif(array_to_string(v_holders, ', '), '') || '.',
                'Prepared transactions: ' || (
                    SELECT string_agg(quote_literal(p.gid), ', ' ORDER BY p.gid)
                    FROM unnest(v_prepared) AS p (gid)
                ) || '.'
            ),
            HINT = 'End it, or set lock_timeout to how long clients of a queue may be made to wait'
                ' for this, and run this again.';
END
$$;
