CREATE OR REPLACE FUNCTION pgmq._doctor_compiled()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT
        CASE WHEN f.missing IS NULL THEN 'warning' ELSE 'critical' END, f.queue_name::text,
        concat_ws('; ',
            'compiled functions are missing: ' || f.missing,
            'compiled functions are not those of the templates and the policy: ' || f.stale,
            'compiled functions do not belong to the owner of the table: ' || f.foreign_ones
        ),
        'SELECT pgmq.recompile_all()'
    FROM (
        SELECT
            d.queue AS queue_name,
            string_agg(d.template, ', ' ORDER BY d.template) FILTER (
                WHERE d.function IS NULL
            ) AS missing,
            string_agg(d.template, ', ' ORDER BY d.template) FILTER (WHERE d.is_stale) AS stale,
            string_agg(d.template, ', ' ORDER BY d.template) FILTER (
                WHERE d.is_foreign
            ) AS foreign_ones
        FROM pgmq._differences() AS d
        GROUP BY d.queue
    ) AS f
$$;
COMMENT ON FUNCTION pgmq._doctor_compiled() IS
'Queues whose compiled functions are missing, stale, or have another owner than the table.

Stale functions differ from the templates and the policy.';
