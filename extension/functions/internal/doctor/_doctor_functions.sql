CREATE OR REPLACE FUNCTION pgmq._doctor_functions()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- Roles that were granted functions by name.
    WITH granted AS MATERIALIZED (
        SELECT DISTINCT coalesce(r.rolname, 'public') AS role
        FROM pg_proc AS p
        CROSS JOIN aclexplode(p.proacl) AS a
        LEFT JOIN pg_roles AS r ON a.grantee = r.oid
        WHERE p.pronamespace = 'pgmq'::regnamespace AND NOT starts_with(p.proname, '_')
            AND a.grantee <> p.proowner
    )
    SELECT
        'critical', null,
        format(
            '%s may execute functions of pgmq, but not internal ones that these call: %s, ...',
            g.role, f.name
        ),
        'SELECT pgmq._open_internal()'
    FROM granted AS g
    CROSS JOIN LATERAL (
        SELECT min(i.id::text) AS name
        FROM pgmq._internal_functions() AS i (id)
        WHERE NOT has_function_privilege(g.role, i.id::oid, 'EXECUTE')
    ) AS f
    WHERE f.name IS NOT NULL
    ORDER BY g.role
$$;
COMMENT ON FUNCTION pgmq._doctor_functions() IS
'Roles whose calls fail since EXECUTE was revoked from PUBLIC, and not granted for all functions.';
