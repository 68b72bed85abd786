CREATE OR REPLACE FUNCTION pgmq.metrics_all()
RETURNS SETOF pgmq.metrics_result
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_callers CONSTANT oid[] := pgmq._powerful_callers();
    v_queue record;
    v_others text[] := '{}'::text[];
    v_is_safe boolean;
    v_metrics pgmq.metrics_result;
BEGIN
    FOR v_queue IN
        SELECT
            m.queue_name,
            pgmq._queue_table(m.queue_name) AS relation,
            CASE
                WHEN m.is_partitioned AND pgmq._is_stream(pgmq._queue_table(m.queue_name))
                    THEN 'enqueued_at'
                ELSE 'vt'
            END AS shown_to,    -- the column whose readers see the metrics
            EXISTS (
                SELECT FROM pgmq.policy AS p
                WHERE p.queue_name = m.queue_name
                    AND (p.max_receives IS NOT NULL OR p.message_ttl IS NOT NULL)
            ) AS lets_die
        FROM pgmq.meta AS m
        WHERE NOT (m.is_unlogged AND pg_is_in_recovery())
        ORDER BY m.queue_name
    LOOP
        -- Looking at the size lets this session notice what others have created and dropped.
        CONTINUE WHEN pg_relation_size(v_queue.relation) IS NULL
            OR has_column_privilege(v_queue.relation, v_queue.shown_to, 'SELECT') IS NOT true;
        BEGIN
            v_is_safe := pgmq._is_safe_to_touch(v_queue.relation, v_callers);
            IF v_is_safe THEN
                v_metrics := CASE WHEN NOT v_queue.lets_die
                    THEN pgmq._small_metrics(v_queue.queue_name, v_queue.relation) END;
                IF v_metrics.queue_name IS NULL THEN
                    v_metrics := pgmq.metrics(v_queue.queue_name);
                END IF;
            END IF;
            -- The rollback releases the queue's locks: those of thousands of queues would fill the
            -- lock table.
            RAISE EXCEPTION 'measured' USING ERRCODE = 'PGMQ0';
        EXCEPTION
            WHEN SQLSTATE 'PGMQ0' THEN
                IF v_is_safe THEN
                    RETURN NEXT v_metrics;
                ELSE
                    v_others := v_others || v_queue.queue_name::text;
                END IF;
            WHEN undefined_table OR undefined_function OR undefined_object OR internal_error THEN
                -- The queue may have been dropped meanwhile; any other failure is raised again.
                IF EXISTS (SELECT FROM pg_class AS c WHERE c.oid = v_queue.relation) THEN
                    RAISE;
                END IF;
        END;
    END LOOP;
    PERFORM pgmq._warn_of_others(
        'metrics_all()', v_others, 'Call it as a member of pg_monitor without more rights.'
    );
END
$$;
COMMENT ON FUNCTION pgmq.metrics_all() IS
'Return the metrics of every queue whose metrics the caller may see.

Members of pg_monitor see all queues. A queue whose table was dropped by hand is left out. A standby
leaves out unlogged queues, which it does not have.

For a superuser, or a role with powers like that, queues whose owner has no such powers are left
out, with a warning: looking at them could run code of that owner.';
