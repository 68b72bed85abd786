CREATE OR REPLACE FUNCTION pgmq._doctor_schedules()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT
        'warning', s.queue_name,
        format(
            'schedule "%s" is late: a message was due at %s%s', s.schedule_name,
            to_char(s.next_at, 'YYYY-MM-DD HH24:MI:SS TZ'),
            (
                SELECT format('; process %s holds it since %s', l.pid, a.xact_start)
                FROM pg_locks AS l
                LEFT JOIN pg_stat_activity AS a ON l.pid = a.pid
                WHERE l.locktype = 'transactionid' AND l.transactionid = s.xmax
                    AND l.mode = 'ExclusiveLock' AND l.granted
                LIMIT 1
            )
        ),
        format(
            'No call of the queue has sent it. Have pg_cron or another scheduler call'
            ' SELECT pgmq.maintain(%L), and end transactions that stay open.', s.queue_name
        )
    FROM pgmq.schedule AS s
    WHERE s.next_at < clock_timestamp() - greatest(s.every, interval '1 minute')
        AND (pgmq._pause_of(s.queue_name)).sends IS NOT true
    UNION ALL
    SELECT
        'warning', s.queue_name,
        format(
            'schedule "%s" cannot send its message (%s attempts): %s', s.schedule_name, s.errors,
            s.last_error
        ),
        format(
            'Mend what it says; the next attempt is at %s.',
            to_char(s.next_at, 'YYYY-MM-DD HH24:MI:SS TZ')
        )
    FROM pgmq.schedule AS s
    WHERE s.errors > 0 AND s.paused_at IS NULL
    UNION ALL
    SELECT
        'info', s.queue_name,
        format(
            'schedule "%s" is paused since %s', s.schedule_name,
            to_char(s.paused_at, 'YYYY-MM-DD HH24:MI:SS TZ')
        ),
        format('SELECT pgmq.resume_schedule(%L)', s.schedule_name)
    FROM pgmq.schedule AS s
    WHERE s.paused_at IS NOT NULL
$$;
COMMENT ON FUNCTION pgmq._doctor_schedules() IS
'Schedules whose messages are late, by more than a minute or their interval, or cannot be sent, and
those that are paused.';
