CREATE OR REPLACE FUNCTION pgmq._doctor_notifications()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    -- A listening session reads notifications between its transactions, in any database. The server
    -- does not show which sessions listen, but the one with the oldest transaction is the
    -- likeliest.
    SELECT
        CASE WHEN u.usage > 0.9 THEN 'critical' ELSE 'warning' END, null::text,
        format(
            'the server''s queue of notifications is %s %% full: a session that listens stays in a '
            'transaction%s; commits that notify will fail',
            round(100 * u.usage::numeric),
            ', probably ' || a.holder
        ),
        CASE
            WHEN a.pid IS NULL THEN 'End the oldest transaction of a session that listens.'
            ELSE format('SELECT pg_terminate_backend(%s)', a.pid)
        END
    FROM pg_notification_queue_usage() AS u (usage)
    LEFT JOIN LATERAL (
        SELECT
            s.pid,
            format(
                'process %s (user "%s", application "%s", database "%s", since %s)',
                s.pid, s.usename, s.application_name, s.datname,
                to_char(s.xact_start, 'YYYY-MM-DD HH24:MI:SS TZ')
            ) AS holder
        FROM pg_stat_activity AS s
        WHERE s.backend_type = 'client backend' AND s.pid <> pg_backend_pid()
            AND s.xact_start IS NOT NULL
        ORDER BY s.xact_start
        LIMIT 1
    ) AS a ON true
    WHERE u.usage > 0.5
$$;
COMMENT ON FUNCTION pgmq._doctor_notifications() IS
'Whether the server''s queue of notifications fills up, and which session probably holds it up.';
