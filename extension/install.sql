-- pgmq: a message queue inside Postgres.
-- This text installs, upgrades and adopts: it can be run over an empty database, an older pgmq 2,
-- or upstream pgmq 1.13, and running it again changes nothing.
-- It is one statement, so that everything happens or nothing, also where each statement is a
-- transaction of its own, or where a program goes on after an error.
DO $install$
DECLARE
    v_before CONSTANT text[] := ARRAY[
\quoted upgrade/before.sql
    ];
    v_sources CONSTANT text[] := ARRAY[
\quoted sources.sql
    ];
    v_after CONSTANT text[] := ARRAY[
\quoted upgrade/after.sql
    ];
    v_is_plain CONSTANT boolean := NOT EXISTS (
        SELECT FROM pg_catalog.pg_extension AS e
        WHERE e.extname OPERATOR(pg_catalog.=) 'pgmq'::pg_catalog.name
    );
    v_search_path CONSTANT text := pg_catalog.current_setting('search_path');
    v_messages CONSTANT text := pg_catalog.current_setting('client_min_messages');
    v_strings CONSTANT text := pg_catalog.current_setting('standard_conforming_strings');
    v_quotes CONSTANT text := pg_catalog.current_setting('quote_all_identifiers');
    v_version text := '';
    v_digest text;
    v_source text;
    v_names text[];
    v_object record;
    v_is_installed boolean := false;
    v_message text;
    v_detail text;
    v_hint text;
BEGIN
    -- Nothing that is on the caller's search_path takes part, and nothing is said but one line at
    -- the end.
    PERFORM
        pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true),
        pg_catalog.set_config('client_min_messages', 'warning', true),
        pg_catalog.set_config('standard_conforming_strings', 'on', true),
        pg_catalog.set_config('quote_all_identifiers', 'off', true);
    BEGIN
        FOREACH v_source IN ARRAY v_before LOOP
            EXECUTE v_source;
        END LOOP;
    EXCEPTION
        WHEN insufficient_privilege
            OR object_not_in_prerequisite_state
            OR configuration_limit_exceeded
            OR lock_not_available
        THEN
            -- The same without the context, which is a page of SQL.
            GET STACKED DIAGNOSTICS
                v_message = MESSAGE_TEXT,
                v_detail = PG_EXCEPTION_DETAIL,
                v_hint = PG_EXCEPTION_HINT;
            RAISE EXCEPTION USING
                ERRCODE = SQLSTATE,
                MESSAGE = v_message,
                DETAIL = coalesce(nullif(v_detail, ''), 'Nothing has changed.'),
                HINT = v_hint;
    END;
    IF to_regproc('pgmq.version') IS NOT NULL THEN
        EXECUTE 'SELECT pgmq.version()' INTO v_version;
    ELSIF to_regclass('pgmq.meta') IS NOT NULL THEN
        v_version := '1.13';
    END IF;

    -- If these sources were installed already and nobody has changed anything since, they are not
    -- run again: each new function makes every session check its plans, and each comment locks its
    -- table.
    v_digest := md5(array_to_string(v_sources, ''));
    IF to_regclass('pgmq.installation') IS NOT NULL THEN
        -- CREATE EXTENSION over an installation without an extension must still run the sources, to
        -- make everything a member.
        SELECT pgmq._installed_state(i.names) = i.state AND v_is_plain <> EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = 'pgmq.installation'::regclass
                AND d.deptype = 'e'
        )
        INTO v_is_installed
        FROM pgmq.installation AS i
        WHERE i.digest = v_digest;
    END IF;
    IF v_is_installed IS NOT TRUE THEN
        v_names := ARRAY(
            SELECT DISTINCT m.match[1]
            FROM unnest(v_sources) AS s (source)
            CROSS JOIN regexp_matches(s.source, '\mpgmq[.]"?(\w+)', 'g') AS m (match)
        );
        -- CREATE EXTENSION over an installation without: its script may replace members only. What
        -- another role owns could be anything. (Later on, what is no member is a queue's.)
        FOR v_object IN
            SELECT i.type, i.identity, o.owner::regrole
            FROM (
                SELECT 'pg_class'::regclass AS classid, c.oid, c.relname, c.relowner
                FROM pg_class AS c
                WHERE c.relnamespace = to_regnamespace('pgmq') AND c.relkind IN ('r', 'S', 'v')
                UNION ALL
                SELECT 'pg_type'::regclass, c.reltype, c.relname, c.relowner
                FROM pg_class AS c
                WHERE c.relnamespace = to_regnamespace('pgmq') AND c.relkind = 'c'
                UNION ALL
                SELECT 'pg_proc'::regclass, p.oid, p.proname, p.proowner
                FROM pg_proc AS p
                WHERE p.pronamespace = to_regnamespace('pgmq')
            ) AS o (classid, objid, name, owner)
            CROSS JOIN pg_identify_object(o.classid, o.objid, 0) AS i
            WHERE o.name = ANY (v_names::name[]) AND NOT v_is_plain AND NOT EXISTS (
                SELECT FROM pg_depend AS d
                WHERE d.classid = 'pg_class'::regclass AND d.objid = to_regclass('pgmq.meta')
                    AND d.deptype = 'e'
            )
        LOOP
            IF v_object.owner <> quote_ident(current_user)::regrole THEN
                RAISE EXCEPTION '% % belongs to role %',
                    v_object.type, v_object.identity, v_object.owner
                    USING ERRCODE = 'insufficient_privilege',
                        HINT = 'Create the extension as the role that has installed pgmq here. It'
                            ' needs the right CREATE on the database.';
            END IF;
            EXECUTE format('ALTER EXTENSION pgmq ADD %s %s', v_object.type, v_object.identity);
        END LOOP;
        FOREACH v_source IN ARRAY v_sources LOOP
            EXECUTE v_source;
        END LOOP;
        DELETE FROM pgmq.installation;
        INSERT INTO pgmq.installation (digest, names)
        SELECT v_digest, array_agg(n.name)
        FROM unnest(v_names) AS n (name)
        WHERE NOT starts_with(n.name, '_pinned');       -- pin() writes those
    END IF;

    FOREACH v_source IN ARRAY v_after LOOP
        EXECUTE v_source;
    END LOOP;
    UPDATE pgmq.installation AS i
    SET state = pgmq._installed_state(i.names)
    WHERE i.state IS DISTINCT FROM pgmq._installed_state(i.names);
    IF v_is_plain THEN
        -- INFO reaches whoever runs this, whatever the settings.
        RAISE INFO 'pgmq @EXTVERSION@: %', CASE
            WHEN v_is_installed THEN 'unchanged'
            WHEN v_version = '' THEN 'installed'
            WHEN v_version = '@EXTVERSION@' THEN 'installed again'
            ELSE format('upgraded from %s', v_version)
        END;
    END IF;
    PERFORM
        set_config('search_path', v_search_path, true),
        set_config('client_min_messages', v_messages, true),
        set_config('standard_conforming_strings', v_strings, true),
        set_config('quote_all_identifiers', v_quotes, true);
END
$install$;
