CREATE OR REPLACE FUNCTION pgmq._doctor_settings()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'critical', null::text, format('%s is off: nothing is vacuumed', s.name),
        format('ALTER SYSTEM SET %s = on; SELECT pg_reload_conf()', s.name)
    FROM pg_settings AS s
    WHERE s.name IN ('autovacuum', 'track_counts') AND s.setting = 'off'
    UNION ALL
    SELECT 'warning', null,
        format('autovacuum looks at a database only every %s s (autovacuum_naptime)', s.setting),
        'ALTER SYSTEM SET autovacuum_naptime = ''1min''; SELECT pg_reload_conf()'
    FROM pg_settings AS s
    WHERE s.name = 'autovacuum_naptime' AND s.setting::integer > 300
    UNION ALL
    SELECT 'warning', null,
        format(
            'autovacuum dirties no more than %s pages a second, which busy queues exceed',
            -- vacuum_cost_page_dirty is 20.
            (1000 * c.cost_limit / 20 / c.delay)::integer
        ),
        'ALTER SYSTEM SET autovacuum_vacuum_cost_delay = ''2ms''; SELECT pg_reload_conf()'
    FROM (
        SELECT
            current_setting('autovacuum_vacuum_cost_delay') AS shown,
            (SELECT s.setting::numeric FROM pg_settings AS s
            WHERE s.name = 'autovacuum_vacuum_cost_delay') AS delay,
            (SELECT coalesce(nullif(max(s.setting) FILTER (
                WHERE s.name = 'autovacuum_vacuum_cost_limit'), '-1'), max(s.setting) FILTER (
                WHERE s.name = 'vacuum_cost_limit'))::numeric
            FROM pg_settings AS s) AS cost_limit
    ) AS c
    WHERE c.delay > 0 AND 1000 * c.cost_limit / 20 / c.delay < 1000
$$;
COMMENT ON FUNCTION pgmq._doctor_settings() IS
'Settings of the server under which vacuum cannot keep up with queues.';
