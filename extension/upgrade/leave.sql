-- Takes everything out of the extension pgmq, and drops what is left of it, which is the name.
-- Afterwards the database has what the plain SQL installs, with all queues and settings.
-- For the owner of the extension.
--
--     psql -X -q -v ON_ERROR_STOP=1 -f extension/upgrade/leave.sql
DO $$
DECLARE
    v_member record;
BEGIN
    -- From Postgres 17 on, a relation and its row type leave together, and the row type of this view
    -- is not a member.
    IF current_setting('server_version_num')::integer >= 170000 THEN
        ALTER EXTENSION pgmq ADD TYPE pgmq.notify_insert_throttle;
    END IF;
    FOR v_member IN
        SELECT o.type, o.identity
        FROM pg_depend AS d
        CROSS JOIN pg_identify_object(d.classid, d.objid, 0) AS o
        WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
            AND d.refobjid = (SELECT e.oid FROM pg_extension AS e WHERE e.extname = 'pgmq')
            -- A row type or an array goes with what it is of.
            AND NOT EXISTS (
                SELECT FROM pg_depend AS i
                WHERE i.classid = d.classid AND i.objid = d.objid AND i.deptype = 'i'
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
END
$$;
