-- pgmq for pg_tle, on hosts whose files nobody can write: registers this version, which CREATE
-- EXTENSION pgmq and ALTER EXTENSION pgmq UPDATE find afterwards.
-- It is one statement, so that everything happens or nothing.
DO $tle$
DECLARE
    v_script CONSTANT text := $_pgtle_$
\ir install.sql
$_pgtle_$;
    v_older text;
    v_is_known boolean;
BEGIN
    IF to_regprocedure('pgtle.install_extension_version_sql(text, text, text)') IS NULL THEN
        RAISE EXCEPTION 'database % has no extension pg_tle of version 1.0.4 or later',
            current_database()
        USING ERRCODE = 'undefined_object',
            HINT = 'Run CREATE EXTENSION pg_tle, or the plain file, pgmq.sql, which needs none.';
    END IF;
    SELECT '@EXTVERSION@' = ANY (array_agg(v.version))
    INTO v_is_known
    FROM pgtle.available_extension_versions() AS v
    WHERE v.name = 'pgmq';

    IF v_is_known IS NULL THEN
        IF to_regprocedure('pgtle.install_extension(text, text, text, text, text[], text)') IS NULL
        THEN
            PERFORM pgtle.install_extension('pgmq', '@EXTVERSION@', '@EXTCOMMENT@', v_script);
        ELSE
            -- From version 1.5 on pg_tle makes the schema, as Postgres does.
            PERFORM pgtle.install_extension(
                'pgmq', '@EXTVERSION@', '@EXTCOMMENT@', v_script, schema => 'pgmq'
            );
        END IF;
    ELSIF NOT v_is_known THEN
        PERFORM pgtle.install_extension_version_sql('pgmq', '@EXTVERSION@', v_script);
    END IF;
    IF v_is_known IS NOT TRUE THEN
        FOREACH v_older IN ARRAY string_to_array('@UPGRADES@', ' ') LOOP
            PERFORM pgtle.install_update_path('pgmq', v_older, '@EXTVERSION@', v_script);
        END LOOP;
    END IF;
    PERFORM pgtle.set_default_version('pgmq', '@EXTVERSION@');

    -- INFO reaches whoever runs this, whatever the settings.
    RAISE INFO 'pgmq @EXTVERSION@: %, now run %',
        CASE WHEN v_is_known THEN 'registered already' ELSE 'registered' END,
        CASE
            WHEN EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = 'pgmq')
                THEN 'ALTER EXTENSION pgmq UPDATE'
            ELSE 'CREATE EXTENSION pgmq'
        END;
END
$tle$;
