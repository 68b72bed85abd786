CREATE OR REPLACE FUNCTION pgmq._doctor_archives()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_callers CONSTANT oid[] := pgmq._powerful_callers();
    v_queue record;
    v_count bigint;
    v_first bigint;
    v_last bigint;
BEGIN
    FOR v_queue IN
        SELECT
            m.queue_name::text AS name,
            pgmq._queue_table(m.queue_name) AS queue,
            pgmq._queue_table(m.queue_name, true) AS archive
        FROM pgmq.meta AS m
        WHERE NOT (m.is_unlogged AND pg_is_in_recovery())   -- a standby does not have these
        ORDER BY m.queue_name
    LOOP
        -- A partitioned archive may hold a msg_id twice.
        CONTINUE WHEN pg_relation_size(v_queue.archive) = 0
            OR has_column_privilege(v_queue.queue, 'msg_id', 'SELECT') IS NOT true
            OR has_column_privilege(v_queue.archive, 'msg_id', 'SELECT') IS NOT true
            OR NOT EXISTS (
                SELECT FROM pg_index AS i WHERE i.indrelid = v_queue.archive AND i.indisprimary
            )
            OR NOT pgmq._is_safe_to_touch(v_queue.queue, v_callers)
            OR NOT pgmq._is_safe_to_touch(v_queue.archive, v_callers);
        BEGIN
            EXECUTE format(
                'SELECT count(*), min(q.msg_id)'
                ' FROM (SELECT m.msg_id FROM %s AS m ORDER BY m.msg_id LIMIT 1000) AS q'
                ' WHERE EXISTS (SELECT FROM %s AS a WHERE a.msg_id = q.msg_id)',
                v_queue.queue, v_queue.archive
            ) INTO v_count, v_first;
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
                    pg_get_serial_sequence(v_queue.queue::text, 'msg_id'), v_last, v_queue.queue
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
COMMENT ON FUNCTION pgmq._doctor_archives() IS
'Queues with messages whose msg_id is in the archive already.

This happens when the identity column was restarted.';
