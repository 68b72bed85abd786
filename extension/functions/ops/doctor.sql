-- Calls its parts in internal/doctor/. Each part returns its findings, or no row if all is well,
-- and looks only at what members of pg_monitor may see.
CREATE OR REPLACE FUNCTION pgmq.doctor()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET lock_timeout = '100ms'
AS $$
DECLARE
    v_part text;
    v_waits integer := 0;
    v_all jsonb := '[]'::jsonb;
    v_found jsonb;
BEGIN
    FOREACH v_part IN ARRAY ARRAY[
        'horizon', 'settings', 'tables', 'compiled', 'functions', 'upgrade', 'pinned', 'paused',
        'relations', 'damage', 'queues', 'ids', 'partitions', 'streams', 'bindings', 'channels',
        'schedules', 'notifications', 'statistics'
    ] LOOP
        FOR v_attempt IN 1..10 LOOP
            BEGIN
                EXECUTE format(
                    'SELECT coalesce(jsonb_agg(to_jsonb(d)), ''[]'') FROM pgmq.%I() AS d',
                    '_doctor_' || v_part
                ) INTO v_found;
                -- The rollback releases the queue's locks: those of thousands of queues would fill
                -- the lock table.
                RAISE EXCEPTION 'looked' USING ERRCODE = 'PGMQ0';
            EXCEPTION
                WHEN SQLSTATE 'PGMQ0' THEN
                    EXIT;
                WHEN insufficient_privilege THEN
                    v_found := jsonb_build_array(jsonb_build_object(
                        'severity', 'info',
                        'finding', format('%s: not looked at, %s', v_part, SQLERRM),
                        'fix', 'Call it as a member of pg_monitor.'
                    ));
                    EXIT;
                WHEN lock_not_available THEN
                    -- Who has locked this queue may want next what a part has looked at: so it does
                    -- not wait, but comes again, if not too often.
                    v_waits := v_waits + 1;
                    IF v_waits >= 10 OR v_attempt = 10 THEN
                        v_found := pgmq._locked_out(v_part);
                        EXIT;
                    END IF;
                    PERFORM pg_sleep(0.1);
                WHEN OTHERS THEN
                    -- A queue may have been dropped meanwhile; any other failure comes again. Then a
                    -- queue is damaged, and of the others there is still something to say.
                    IF v_attempt = 10 THEN
                        v_found := jsonb_build_array(jsonb_build_object(
                            'severity', 'critical',
                            'finding', format('%s: not looked at, %s', v_part, SQLERRM),
                            'fix', 'Mend what else is critical, and call it again.'
                        ));
                    END IF;
            END;
        END LOOP;
        v_all := v_all || v_found;
    END LOOP;
    RETURN QUERY
        SELECT d.severity, d.queue_name, d.finding, d.fix
        FROM jsonb_array_elements(v_all) WITH ORDINALITY AS f (value, place)
        CROSS JOIN jsonb_to_record(f.value) AS d (
            severity text, queue_name text, finding text, fix text
        )
        ORDER BY array_position(ARRAY['critical', 'warning', 'info'], d.severity), f.place;
END
$$;
COMMENT ON FUNCTION pgmq.doctor() IS
'Report what is wrong or will be, and what to do about it; no row means that all is well.

severity is critical, warning or info. queue_name is null for the whole server. fix is SQL or words.
The findings are:

- transactions and slots that keep vacuum from its work (for longer than the setting
  pgmq.doctor_patience, 5 min unless set), dead rows and bloat, settings of autovacuum that will not
  keep up, and statistics that a crash or pg_upgrade has lost;
- queues that are paused;
- functions, tables, indexes, keys, triggers and marks that are missing, disabled, stale or lag, or
  belong to another role than the queue, and what an upgrade has left to maintain();
- roles that may execute public functions, but not the internal ones that these call;
- channels that are dead or answer nothing, and a queue of notifications that fills up;
- messages in default partitions or dropped unread by retention, partitions that are created or
  dropped too late, and the transactions that are in their way;
- transactions that keep the groups of a stream from what was sent, and groups that keep old
  segments, fail again and again, or have lost their positions;
- schedules whose messages are late or cannot be sent, and bindings of queues that are gone;
- dead letters that pile up, msg_ids that begin again or are in the archive already, and archives
  that only grow.

Meant for members of pg_monitor. A finding says what was left out because the caller may not see it,
or because a table was locked for longer than some tenths of a second. Changes nothing.';

CREATE OR REPLACE FUNCTION pgmq._locked_out(part text)
RETURNS jsonb
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_array(jsonb_build_object(
        'severity', 'warning',
        'finding', concat(part, ': not looked at, for a table is locked', b.name),
        'fix', concat('Call it again when that has ended', b.fix)
    ))
    FROM (VALUES (part)) AS p (part)
    LEFT JOIN LATERAL (
        SELECT
            format(
                ': %s, by process %s since %s',
                c.oid::regclass, l.pid, to_char(a.xact_start, 'YYYY-MM-DD HH24:MI:SS TZ')
            ) AS name,
            format(', or SELECT pg_terminate_backend(%s)', l.pid) AS fix
        FROM pg_locks AS l
        INNER JOIN pg_class AS c ON l.relation = c.oid
        INNER JOIN pg_stat_activity AS a ON l.pid = a.pid
        WHERE l.locktype = 'relation' AND l.granted AND l.mode = 'AccessExclusiveLock'
            AND c.relnamespace = 'pgmq'::regnamespace AND c.relkind IN ('r', 'p', 'S')
            AND l.pid <> pg_backend_pid() AND a.datname = current_database()
        ORDER BY a.xact_start, c.oid
        LIMIT 1
    ) AS b ON true
$$;
COMMENT ON FUNCTION pgmq._locked_out(text) IS
'What doctor() says of a part that was not done, and who is in its way.';
