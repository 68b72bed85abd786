CREATE OR REPLACE FUNCTION pgmq._installed_state(names text[])
RETURNS text
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    -- Any change of one of these rows writes a new xmin, which no row had before.
    WITH relations AS MATERIALIZED (
        SELECT c.oid, c.xmin
        FROM pg_class AS c
        WHERE c.relnamespace = 'pgmq'::regnamespace AND c.relname = ANY (names::name[])
    )
    SELECT md5(string_agg(r.state, ',' ORDER BY r.state))
    FROM (
        SELECT format('f %s %s', p.oid, p.xmin) AS state
        FROM pg_proc AS p
        WHERE p.pronamespace = 'pgmq'::regnamespace AND p.proname = ANY (names::name[])
        UNION ALL
        SELECT format('r %s %s', r.oid, r.xmin) FROM relations AS r
        UNION ALL
        SELECT format('a %s %s %s', a.attrelid, a.attnum, a.xmin)
        FROM relations AS r
        INNER JOIN pg_attribute AS a ON r.oid = a.attrelid
        UNION ALL
        SELECT format('t %s %s', t.oid, t.xmin)
        FROM relations AS r
        INNER JOIN pg_trigger AS t ON r.oid = t.tgrelid
        UNION ALL
        SELECT format('s %s %s', t.name, t.xmin) FROM pgmq.template AS t
    ) AS r
$$;
COMMENT ON FUNCTION pgmq._installed_state(text[]) IS
'A digest of the functions, relations and templates of these names, by who wrote each last.';
