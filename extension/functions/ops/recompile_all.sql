CREATE OR REPLACE FUNCTION pgmq.recompile_all()
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_queue record;
    v_in_script CONSTANT boolean := pgmq._in_extension_script();
    v_room CONSTANT bigint := pgmq._room_for_locks();
    v_differing jsonb;
    v_locks bigint;
    v_others text[] := '{}'::text[];
    v_count bigint := 0;
BEGIN
    -- Each queue takes a lock, and so does each function that leaves the extension again.
    SELECT jsonb_object_agg(d.queue, true), sum(1 + CASE WHEN v_in_script THEN d.functions ELSE 0 END)
    INTO v_differing, v_locks
    FROM (SELECT f.queue, count(*) AS functions FROM pgmq._differences() AS f GROUP BY f.queue) AS d;
    IF v_locks > v_room THEN
        RAISE EXCEPTION 'compiling the functions of queues takes % locks, of which the server has %',
            v_locks, v_room
            USING ERRCODE = 'configuration_limit_exceeded',
                HINT = CASE
                    WHEN v_in_script THEN format(
                        'Set max_locks_per_transaction = %s, restart the server and run this again.',
                        ceil(64 + 1.2 * v_locks * current_setting('max_locks_per_transaction')::bigint
                            / v_room)
                    )
                    ELSE 'Call pgmq.recompile() for each queue, in a transaction of its own.'
                END;
    END IF;
    FOR v_queue IN
        SELECT m.queue_name AS name, c.relowner AS owner
        FROM (
            SELECT t.queue_name, pgmq._queue_table(t.queue_name) AS id
            FROM pgmq.meta AS t
        ) AS m
        INNER JOIN pg_class AS c ON m.id = c.oid
        ORDER BY m.queue_name
    LOOP
        IF NOT pg_has_role(v_queue.owner, 'USAGE') THEN
            v_others := v_others || v_queue.name::text;
            CONTINUE;
        END IF;
        -- A superuser may do this for other owners: it runs none of their code.
        IF v_differing ? v_queue.name THEN
            PERFORM pgmq._compile(v_queue.name);
        END IF;
        v_count := v_count + 1;
    END LOOP;
    PERFORM pgmq._warn_of_others('recompile_all()', v_others, 'Their owners, or a superuser, call it.');
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION pgmq.recompile_all() IS
'Give every queue the functions of the installed templates; return the number of queues.

Functions that are as they should be are neither replaced nor locked. Sessions that use the queues
go on. Call this after a partial restore; every upgrade does it itself. With thousands of queues
call recompile instead, with a transaction for each queue.

The owners of queues may call it, and superusers. Queues of others are left out, with a warning that
names them.';
