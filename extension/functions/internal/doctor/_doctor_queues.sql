CREATE OR REPLACE FUNCTION pgmq._doctor_queues()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_callers CONSTANT oid[] := pgmq._powerful_callers();
    v_queue record;
    v_mark bigint;
    v_first bigint;
    v_count bigint;
    v_oldest timestamptz;
BEGIN
    FOR v_queue IN
        SELECT
            m.queue_name::text AS name,
            pgmq._queue_table(m.queue_name) AS queue,
            NOT m.is_partitioned AS is_plain,
            pgmq._relation('ready_mark', m.queue_name) AS ready_mark,
            (
                SELECT string_agg(quote_ident(p.queue_name), ', ' ORDER BY p.queue_name)
                FROM (
                    SELECT o.queue_name, o.dead_letter_queue FROM pgmq.policy AS o
                    UNION
                    SELECT g.queue_name, g.dead_letter_queue FROM pgmq.stream_group AS g
                ) AS p
                WHERE p.dead_letter_queue = m.queue_name
            ) AS sources
        FROM pgmq.meta AS m
        WHERE pgmq._is_here(pgmq._queue_table(m.queue_name))
        ORDER BY m.queue_name
    LOOP
        CONTINUE WHEN v_queue.ready_mark IS NULL
            OR has_column_privilege(v_queue.queue, 'msg_id', 'SELECT') IS NOT true
            OR NOT has_column_privilege(v_queue.queue, 'vt', 'SELECT')
            OR NOT has_column_privilege(v_queue.queue, 'enqueued_at', 'SELECT')
            OR NOT has_sequence_privilege(v_queue.ready_mark, 'SELECT');
        IF NOT pgmq._is_safe_to_touch(v_queue.queue, v_callers) THEN
            severity := 'info';
            queue_name := v_queue.name;
            finding := 'its messages are not looked at: its owner could use your rights';
            fix := 'Call it as a member of pg_monitor without more rights.';
            RETURN NEXT;
            CONTINUE;
        END IF;
        -- An empty plain queue has nothing to pass over, and no dead letters.
        CONTINUE WHEN v_queue.is_plain AND pg_relation_size(v_queue.queue) = 0;

        BEGIN
            v_mark := greatest(pgmq._sequence_value(v_queue.ready_mark), 1);
            EXECUTE format(
                'SELECT q.msg_id FROM %s AS q WHERE q.vt <= q.enqueued_at AND q.msg_id >= $1'
                ' ORDER BY q.msg_id LIMIT 1',
                v_queue.queue
            ) INTO v_first USING v_mark;
            IF v_first IS NULL AND has_sequence_privilege(
                pg_get_serial_sequence(v_queue.queue::text, 'msg_id'), 'SELECT'
            )
            THEN
                v_first := pgmq._sequence_value(
                    pg_get_serial_sequence(v_queue.queue::text, 'msg_id')::regclass
                );
            END IF;
            IF v_first - v_mark > 100000 THEN
                severity := 'warning';
                queue_name := v_queue.name;
                finding := format(
                    'reads pass over %s consumed messages: the low-water mark lags%s',
                    v_first - v_mark,
                    (
                        SELECT format('; process %s writes to the queue since %s', a.pid, a.xact_start)
                        FROM pg_locks AS l
                        INNER JOIN pg_stat_activity AS a ON l.pid = a.pid
                        WHERE l.relation = v_queue.queue AND l.mode = 'RowExclusiveLock'
                        ORDER BY a.xact_start
                        LIMIT 1
                    )
                );
                fix := format(
                    'SELECT pgmq.maintain(%L), as a transaction of its own', v_queue.name
                );
                RETURN NEXT;
            END IF;

            IF v_queue.sources IS NOT NULL THEN
                EXECUTE format(
                    'SELECT count(*), min(q.enqueued_at)'
                    ' FROM (SELECT d.enqueued_at FROM %s AS d ORDER BY d.msg_id LIMIT 100) AS q',
                    v_queue.queue
                ) INTO v_count, v_oldest;
                IF v_count >= 100 THEN
                    severity := 'info';
                    queue_name := v_queue.name;
                    finding := format(
                        'at least 100 dead letters of %s, the oldest of %s',
                        v_queue.sources, to_char(v_oldest, 'YYYY-MM-DD HH24:MI:SS TZ')
                    );
                    fix := format(
                        'See why: SELECT * FROM pgmq.peek(%1$L, 10), headers x-pgmq-dead-letter;'
                        ' then pgmq.redrive(%1$L) or pgmq.purge_queue(%1$L)',
                        v_queue.name
                    );
                    RETURN NEXT;
                END IF;
            END IF;
            -- Rolled back, it gives back its locks: thousands of queues would fill the lock table.
            RAISE EXCEPTION 'looked' USING ERRCODE = 'PGMQ0';
        EXCEPTION WHEN SQLSTATE 'PGMQ0' THEN
            NULL;
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._doctor_queues() IS
'Queues whose low-water mark lags, or in which dead letters pile up.';
