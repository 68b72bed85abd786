-- Over upstream's queues in use, all that is locked later is locked now, everything or nothing:
-- to wait for one table while holding another would be a deadlock with whoever uses both in a
-- transaction. The first attempts are too short for such a client to be told of one, and in the
-- pauses everybody goes on. But consumers in read_with_poll() hold the table as long as they wait,
-- new ones come in every pause, and only longer attempts outlast them.
DO $$
DECLARE
    v_wanted CONSTANT text := current_setting('lock_timeout');
    v_longest CONSTANT integer := (
        SELECT coalesce(nullif(s.setting::integer, 0), 10000)
        FROM pg_settings AS s
        WHERE s.name = 'lock_timeout'
    );
    v_attempt integer := (
        SELECT least(s.setting::integer / 2, v_longest)
        FROM pg_settings AS s
        WHERE s.name = 'deadlock_timeout'
    );
    v_end timestamptz;
    v_table regclass;
    v_queue record;
BEGIN
    IF to_regclass('pgmq.meta') IS NULL OR to_regclass('pgmq.template') IS NOT NULL THEN
        RETURN;
    END IF;

    -- Not as a notice, which nobody sees of an extension's script.
    FOR v_queue IN
        SELECT m.queue_name, sum(pg_relation_size(t.relid)) / 1000000 AS size
        FROM pgmq.meta AS m
        CROSS JOIN pg_partition_tree(
            to_regclass(format('pgmq.%I', pgmq.format_table_name(m.queue_name, 'q')))
        ) AS t
        WHERE t.isleaf AND NOT EXISTS (
            SELECT FROM pg_index AS i
            WHERE i.indrelid = t.relid AND i.indisvalid AND i.indpred IS NOT NULL
            HAVING count(*) >= 2
        )
        GROUP BY m.queue_name
        HAVING sum(pg_relation_size(t.relid)) >= 10000000
        ORDER BY m.queue_name
    LOOP
        RAISE INFO 'queue "%": indexes of % MB of messages are built while all its clients wait,'
            ' for about % s', v_queue.queue_name, v_queue.size, v_queue.size / 100 + 1
            USING HINT = 'extension/prepare.sql builds them beforehand, and nobody waits.';
    END LOOP;

    LOOP
        v_end := clock_timestamp() + make_interval(secs => v_attempt / 1000.0);
        BEGIN
            PERFORM set_config('lock_timeout', v_attempt::text, true);
            v_table := 'pgmq.meta';
            LOCK TABLE pgmq.meta IN ACCESS EXCLUSIVE MODE;
            FOR v_queue IN
                SELECT m.queue_name, c.oid AS relation
                FROM pgmq.meta AS m
                LEFT JOIN pg_class AS c ON c.oid IN (
                    to_regclass(format('pgmq.%I', pgmq.format_table_name(m.queue_name, 'q'))),
                    to_regclass(format('pgmq.%I', pgmq.format_table_name(m.queue_name, 'a')))
                )
                UNION ALL
                VALUES
                (null, to_regclass('pgmq.topic_bindings')),
                (null, to_regclass('pgmq.notify_insert_throttle'))
            LOOP
                v_table := coalesce(v_queue.relation, v_table);
                PERFORM set_config(
                    'lock_timeout',
                    greatest(1, extract(epoch FROM v_end - clock_timestamp()) * 1000)::integer::text,
                    true
                );
                -- Under which queues are created and compiled, whatever the case of the name.
                PERFORM pgmq.acquire_queue_lock(n.name)
                FROM unnest(ARRAY[v_queue.queue_name, lower(v_queue.queue_name)]) AS n (name)
                WHERE n.name IS NOT NULL;
                IF v_queue.relation IS NOT NULL THEN
                    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', v_table);
                END IF;
            END LOOP;
            EXIT;
        EXCEPTION
            WHEN lock_not_available OR deadlock_detected THEN
                IF v_attempt >= v_longest THEN
                    RAISE EXCEPTION 'table % is in use by transactions that do not end', v_table
                        USING ERRCODE = 'lock_not_available',
                            DETAIL = format(
                                'Processes %s.',
                                (
                                    SELECT string_agg(DISTINCT l.pid::text, ', ')
                                    FROM pg_locks AS l
                                    WHERE l.relation = v_table AND l.granted
                                )
                            ),
                            HINT = 'End them, or set lock_timeout to how long clients may be made'
                                ' to wait for this, and run it again.';
                END IF;
        END;
        PERFORM pg_sleep(v_attempt / 1000.0);
        v_attempt := least(2 * v_attempt, v_longest);
    END LOOP;
    PERFORM set_config('lock_timeout', v_wanted, true);
END
$$;
