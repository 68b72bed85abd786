CREATE OR REPLACE FUNCTION pgmq._doctor_ids()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_callers CONSTANT oid[] := pgmq._powerful_callers();
    v_queue record;
    v_ids regclass;
    v_next bigint;
    v_count bigint;
    v_first bigint;
    v_last bigint;
BEGIN
    FOR v_queue IN
        SELECT
            m.queue_name::text AS name, m.is_partitioned,
            q.id AS queue,
            pgmq._queue_table(m.queue_name, true) AS archive
        FROM pgmq.meta AS m
        CROSS JOIN pgmq._queue_table(m.queue_name) AS q (id)
        WHERE pgmq._is_here(q.id) AND pgmq._draws_ids(q.id)
        ORDER BY m.queue_name
    LOOP
        CONTINUE WHEN NOT v_queue.is_partitioned AND pg_relation_size(v_queue.queue) = 0
            OR has_column_privilege(v_queue.queue, 'msg_id', 'SELECT') IS NOT true
            OR NOT pgmq._is_safe_to_touch(v_queue.queue, v_callers);
        BEGIN
            v_ids := pg_get_serial_sequence(v_queue.queue::text, 'msg_id')::regclass;
            IF has_sequence_privilege(v_ids, 'SELECT') THEN
                -- In this order: meanwhile others send.
                EXECUTE format(
                    'SELECT q.msg_id FROM %s AS q ORDER BY q.msg_id DESC LIMIT 1', v_queue.queue
                ) INTO v_last;
                v_next := 1 + coalesce(pgmq._sequence_value(v_ids), 0);
                IF v_last >= v_next THEN
                    severity := 'critical';
                    queue_name := v_queue.name;
                    finding := format(
                        'msg_ids begin again: the next one is %s, but there is a message %s',
                        v_next, v_last
                    );
                    fix := format('SELECT setval(%L, %s)', v_ids, v_last);
                    RETURN NEXT;
                END IF;
            END IF;
            -- A partitioned archive may hold a msg_id twice.
            v_count := 0;
            IF pg_relation_size(v_queue.archive) > 0
                AND has_column_privilege(v_queue.archive, 'msg_id', 'SELECT')
                AND EXISTS (
                    SELECT FROM pg_index AS i
                    WHERE i.indrelid = v_queue.archive AND i.indisprimary
                )
                AND pgmq._is_here(v_queue.archive)
                AND pgmq._is_safe_to_touch(v_queue.archive, v_callers)
            THEN
                EXECUTE format(
                    'SELECT count(*), min(q.msg_id)'
                    ' FROM (SELECT m.msg_id FROM %s AS m ORDER BY m.msg_id LIMIT 1000) AS q'
                    ' WHERE EXISTS (SELECT FROM %s AS a WHERE a.msg_id = q.msg_id)',
                    v_queue.queue, v_queue.archive
                ) INTO v_count, v_first;
            END IF;
            IF v_count > 0 THEN
                EXECUTE format(
                    'SELECT a.msg_id FROM %s AS a ORDER BY a.msg_id DESC LIMIT 1', v_queue.archive
                ) INTO v_last;
                severity := 'critical';
                queue_name := v_queue.name;
                finding := format(
                    '%s message%s among the oldest 1,000 cannot be archived: the archive has their msg_ids'
                    ' already, as it has msg_id %s; the greatest one there is %s',
                    v_count, CASE WHEN v_count <> 1 THEN 's' END, v_first, v_last
                );
                fix := format(
                    'Move the archived rows to a table of your own, and have new messages numbered from'
                    ' there: SELECT setval(%L, greatest(%s, (SELECT max(msg_id) FROM %s)))',
                    v_ids, v_last, v_queue.queue
                );
                RETURN NEXT;
            END IF;
            -- Rolled back, it gives back its locks (see _doctor_queues).
            RAISE EXCEPTION 'looked' USING ERRCODE = 'PGMQ0';
        EXCEPTION WHEN SQLSTATE 'PGMQ0' THEN
            NULL;
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._doctor_ids() IS
'Queues whose msg_ids begin again, or are in the archive already.

This happens when the identity column was restarted, or rows were inserted with msg_ids of their own.';
