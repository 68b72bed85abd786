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
    v_leave CONSTANT text[] := ARRAY[
\quoted upgrade/leave.sql
    ];
    v_lock CONSTANT text[] := ARRAY[
\quoted upgrade/lock_queues.sql
    ];
    v_sources CONSTANT text[] := ARRAY[
\quoted sources.sql
    ];
    v_after CONSTANT text[] := ARRAY[
\quoted upgrade/after.sql
    ];
    v_search_path CONSTANT text := pg_catalog.current_setting('search_path');
    v_messages CONSTANT text := pg_catalog.current_setting('client_min_messages');
    v_strings CONSTANT text := pg_catalog.current_setting('standard_conforming_strings');
    v_quotes CONSTANT text := pg_catalog.current_setting('quote_all_identifiers');
    v_is_script boolean;        -- of CREATE EXTENSION or ALTER EXTENSION UPDATE
    v_leaves boolean;
    v_is_member boolean;
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
        PERFORM pg_extension_config_dump(0::regclass, '');
    EXCEPTION
        WHEN undefined_table THEN
            v_is_script := true;
        WHEN feature_not_supported THEN     -- "can only be called from an SQL script executed by"
            v_is_script := false;
    END;
    BEGIN
        FOREACH v_source IN ARRAY v_before LOOP
            EXECUTE v_source;
        END LOOP;

        -- What has the name of something of ours is called or replaced below, so its owner must have
        -- the rights of the caller anyhow. CREATE EXTENSION over an installation without makes it a
        -- member: a script may replace members only. (Later on, what is no member is a queue's.)
        v_names := ARRAY(
            SELECT DISTINCT m.match[1]
            FROM unnest(v_before || v_lock || v_sources || v_after) AS s (source)
            CROSS JOIN regexp_matches(s.source, '\mpgmq[.]"?(\w+)', 'g') AS m (match)
        );
        v_is_member := EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = to_regclass('pgmq.meta')
                AND d.deptype = 'e'
        );
        FOR v_object IN
            SELECT
                i.type,
                i.identity,
                o.owner::regrole AS owner,
                pg_has_role(o.owner, current_user, 'USAGE')
                -- 2.0.0 has such functions for queues called tick, batch or at. Nothing calls them.
                OR replace(i.identity, 'pg_catalog.', '') ~ '^pgmq[.]_(next_[a-z]+[(]'
                    '|send_[a-z_]+[(]jsonb,jsonb,timestamp with time zone'
                    '|visible_[a-z]+[(]timestamp with time zone,bigint,jsonb)[)]$' AS is_trusted
            FROM (
                SELECT 'pg_class'::regclass AS classid, c.oid, c.relname, c.relowner
                FROM pg_class AS c
                WHERE c.relnamespace = to_regnamespace('pgmq')
                    AND c.relkind IN ('r', 'p', 'f', 'S', 'v', 'm')
                UNION ALL
                SELECT 'pg_type'::regclass, t.oid, t.typname, t.typowner
                FROM pg_type AS t
                LEFT JOIN pg_class AS c ON t.typrelid = c.oid
                WHERE t.typnamespace = to_regnamespace('pgmq') AND t.typcategory <> 'A'
                    AND coalesce(c.relkind, 'c') = 'c'
                UNION ALL
                SELECT 'pg_proc'::regclass, p.oid, p.proname, p.proowner
                FROM pg_proc AS p
                WHERE p.pronamespace = to_regnamespace('pgmq')
            ) AS o (classid, objid, name, owner)
            CROSS JOIN pg_identify_object(o.classid, o.objid, 0) AS i
            WHERE o.name = ANY (v_names::name[])
        LOOP
            IF NOT v_object.is_trusted THEN
                RAISE EXCEPTION '% % is in the way, for it belongs to role %',
                    v_object.type, v_object.identity, v_object.owner
                    USING ERRCODE = 'insufficient_privilege', HINT = format(
                        'Look at what it is and does, then drop it or make %I its owner.',
                        current_user
                    );
            ELSIF v_is_script AND NOT v_is_member THEN
                EXECUTE format('ALTER EXTENSION pgmq ADD %s %s', v_object.type, v_object.identity);
            END IF;
        END LOOP;

        -- The plain file, where the extension is of another version.
        v_leaves := NOT v_is_script AND EXISTS (
            SELECT FROM pg_extension AS e
            WHERE e.extname = 'pgmq' AND e.extversion <> '@EXTVERSION@'
        );
        FOREACH v_source IN ARRAY CASE WHEN v_leaves THEN v_leave || v_lock ELSE v_lock END LOOP
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
    IF to_regclass('pgmq.meta') IS NOT NULL THEN
        v_version := coalesce(
            (
                SELECT substring(p.prosrc FROM '[0-9]+[.][0-9.]+')
                FROM pg_proc AS p
                WHERE p.oid = to_regprocedure('pgmq.version()')
            ),
            '1.13'
        );
    END IF;

    -- If these sources were installed already and nobody has changed anything since, they are not
    -- run again: each new function makes every session check its plans, and each comment locks its
    -- table.
    v_digest := md5(array_to_string(v_sources, ''));
    IF to_regclass('pgmq.installation') IS NOT NULL THEN
        -- CREATE EXTENSION over an installation without an extension must still run the sources, to
        -- make everything a member.
        SELECT pgmq._installed_state(i.names) = i.state AND (v_is_member OR NOT v_is_script)
        INTO v_is_installed
        FROM pgmq.installation AS i
        WHERE i.digest = v_digest;
    END IF;
    IF v_is_installed IS NOT TRUE THEN
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
    IF NOT v_is_script THEN
        -- INFO reaches whoever runs this, whatever the settings.
        RAISE INFO 'pgmq @EXTVERSION@: %', concat(
            CASE
                WHEN v_is_installed THEN 'unchanged'
                WHEN v_version = '' THEN 'installed'
                WHEN v_version = '@EXTVERSION@' THEN 'installed again'
                ELSE format('upgraded from %s', v_version)
            END,
            CASE WHEN v_leaves THEN ', and no extension any more' END
        );
    END IF;
    PERFORM
        set_config('search_path', v_search_path, true),
        set_config('client_min_messages', v_messages, true),
        set_config('standard_conforming_strings', v_strings, true),
        set_config('quote_all_identifiers', v_quotes, true);
END
$install$;
