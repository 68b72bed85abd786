CREATE OR REPLACE FUNCTION pgmq._in_extension_script()
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- What dumped.sql calls, too; refused anywhere else.
    PERFORM pg_extension_config_dump('pgmq.meta', '');
    RETURN true;
EXCEPTION
    WHEN feature_not_supported OR object_not_in_prerequisite_state THEN
        RETURN false;
END
$$;
COMMENT ON FUNCTION pgmq._in_extension_script() IS
'Whether CREATE EXTENSION or ALTER EXTENSION UPDATE is running.

Objects that are created then become members of the extension.';

CREATE OR REPLACE FUNCTION pgmq._members()
RETURNS TABLE (type text, identity text, name text, function_xmin xid)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT o.type, o.identity, coalesce(quote_ident(p.proname), o.name), p.xmin
    FROM pg_depend AS d
    CROSS JOIN pg_identify_object(d.classid, d.objid, 0) AS o
    LEFT JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
    WHERE d.refclassid = 'pg_extension'::regclass
        AND d.refobjid = (SELECT e.oid FROM pg_extension AS e WHERE e.extname = 'pgmq')
        AND d.deptype = 'e'
$$;
COMMENT ON FUNCTION pgmq._members() IS
'The members of the extension: the name, quoted if needed, and for functions who wrote it last.';

CREATE OR REPLACE FUNCTION pgmq._release_members()
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_names text[] := ARRAY(
        SELECT quote_ident(r.name)
        FROM pgmq.meta AS m
        CROSS JOIN pgmq._relations(m.queue_name) AS r
        UNION ALL
        SELECT quote_ident(pgmq._function_name(t.name, m.queue_name))
        FROM pgmq.meta AS m
        CROSS JOIN pgmq.template AS t
    );
    v_member record;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = 'pgmq') THEN
        RETURN;
    END IF;
    FOR v_member IN
        SELECT m.type, m.identity FROM pgmq._members() AS m WHERE m.name = ANY (v_names)
    LOOP
        EXECUTE format('ALTER EXTENSION pgmq DROP %s %s', v_member.type, v_member.identity);
    END LOOP;
    -- A dump leaves out all grants on an object on which the extension's script has granted
    -- something, even if the object is no member any more. Leaving the extension ends that.
    FOR v_member IN
        SELECT DISTINCT
            CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS type,
            format('pgmq.%I', c.relname) AS identity
        FROM pg_init_privs AS i
        INNER JOIN pg_class AS c ON i.objoid = c.oid AND i.classoid = 'pg_class'::regclass
        WHERE c.relnamespace = 'pgmq'::regnamespace AND i.privtype = 'e'
            AND NOT EXISTS (
                SELECT FROM pg_depend AS d
                WHERE d.classid = i.classoid AND d.objid = c.oid AND d.deptype = 'e'
            )
    LOOP
        EXECUTE format('ALTER EXTENSION pgmq ADD %s %s', v_member.type, v_member.identity);
        EXECUTE format('ALTER EXTENSION pgmq DROP %s %s', v_member.type, v_member.identity);
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._release_members() IS
'Take what the extension''s script made for queues out of the extension.

A queue''s objects are the user''s, and a dump must contain them.';
