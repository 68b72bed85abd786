-- Takes everything out of the extension pgmq, of whatever version, and drops what is left of it,
-- which is the name. Afterwards the database has what the plain SQL of that version installs, with
-- all queues and settings. For the owner of the extension, or a superuser.
--
--     psql -X -q -v ON_ERROR_STOP=1 -f extension/upgrade/leave.sql
DO $$
DECLARE
    v_search_path CONSTANT text := pg_catalog.current_setting('search_path');
    v_extension oid;
    v_member record;
BEGIN
    -- Nothing that is on the caller's search_path takes part.
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    v_extension := (SELECT e.oid FROM pg_extension AS e WHERE e.extname = 'pgmq');
    -- From Postgres 17 on, a relation and its row type leave together, also if only the relation is
    -- a member.
    FOR v_member IN
        SELECT format_type(c.reltype, null) AS type
        FROM pg_depend AS d
        INNER JOIN pg_class AS c ON c.oid = d.objid
        WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = v_extension
            AND d.classid = 'pg_class'::regclass AND d.deptype = 'e' AND c.relkind = 'v'
            AND current_setting('server_version_num')::integer >= 170000
            AND NOT EXISTS (
                SELECT FROM pg_depend AS t
                WHERE t.refclassid = d.refclassid AND t.refobjid = d.refobjid
                    AND t.classid = 'pg_type'::regclass AND t.objid = c.reltype AND t.deptype = 'e'
            )
    LOOP
        EXECUTE format('ALTER EXTENSION pgmq ADD TYPE %s', v_member.type);
    END LOOP;
    FOR v_member IN
        SELECT o.type, o.identity
        FROM pg_depend AS d
        CROSS JOIN pg_identify_object(d.classid, d.objid, 0) AS o
        WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = v_extension
            AND d.deptype = 'e'
            -- A row type or an array goes with what it is of.
            AND NOT EXISTS (
                SELECT FROM pg_depend AS i
                WHERE i.classid = d.classid AND i.objid = d.objid AND i.deptype = 'i'
                    AND i.classid = 'pg_type'::regclass
            )
    LOOP
        EXECUTE format('ALTER EXTENSION pgmq DROP %s %s', v_member.type, v_member.identity);
    END LOOP;
    -- What was put aside goes with the extension, but not what is a queue's again.
    FOR v_member IN
        SELECT o.type, o.identity
        FROM pg_depend AS d
        INNER JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
        CROSS JOIN pg_identify_object(d.classid, d.objid, 0) AS o
        WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'x'
            AND d.refobjid = (SELECT e.oid FROM pg_extension AS e WHERE e.extname = 'pgmq')
            AND NOT starts_with(p.proname, 'spare ') AND pg_has_role(p.proowner, 'USAGE')
    LOOP
        EXECUTE format('ALTER %s %s NO DEPENDS ON EXTENSION pgmq', v_member.type, v_member.identity);
    END LOOP;
    DROP EXTENSION pgmq;
    PERFORM set_config('search_path', v_search_path, true);
END
$$;
