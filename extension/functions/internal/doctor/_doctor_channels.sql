CREATE OR REPLACE FUNCTION pgmq._doctor_channels()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pg_is_in_recovery() THEN
        RETURN;     -- a standby has no channels, which are in unlogged tables
    END IF;
    RETURN QUERY
        WITH channels AS (
            SELECT
                c.*,
                format(
                    'a channel with %s slots, opened %s',
                    c.maximum_messages, to_char(c.opened_at, 'YYYY-MM-DD HH24:MI:SS TZ')
                ) AS name,
                EXISTS (
                    SELECT FROM pg_locks AS l
                    WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.mode = 'ExclusiveLock'
                        AND l.classid = (pgmq._channel_locks()::bigint & 4294967295)::oid
                        AND l.objid = c.number::oid
                        AND l.database = (
                            SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()
                        )
                ) AS is_open
            FROM (
                -- Without the name of the channel, which members of pg_monitor may not see.
                SELECT
                    c.number, c.queue_name, c.maximum_messages, c.vt, c.pid, c.opened_at,
                    c.silent_since
                FROM pgmq.channel AS c
            ) AS c
        )
        SELECT
            'warning', c.queue_name, format('%s, has lost its session (process %s)', c.name, c.pid),
            'SELECT pgmq.close_dead_channels()'
        FROM channels AS c
        WHERE NOT c.is_open
        UNION ALL
        SELECT
            'warning', c.queue_name,
            format(
                '%s, has answered nothing since %s: process %s does not listen to it, or takes'
                ' longer than vt, %s s',
                c.name, to_char(c.silent_since, 'YYYY-MM-DD HH24:MI:SS TZ'), c.pid, c.vt
            ),
            format(
                'Let it call pgmq.close_channel(), or open a channel with a longer vt;'
                ' or SELECT pg_terminate_backend(%s)',
                c.pid
            )
        FROM channels AS c
        WHERE c.is_open AND c.silent_since < clock_timestamp() - 2 * make_interval(secs => c.vt);
END
$$;
COMMENT ON FUNCTION pgmq._doctor_channels() IS
'Push channels whose sessions are gone, or whose leases have ended without any answer.';
