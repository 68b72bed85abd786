-- pgmq: a message queue inside Postgres.
-- This text installs, upgrades and adopts: it can be run over an empty database, an older pgmq 2,
-- or upstream pgmq 1.13, and running it again changes nothing.
-- Nothing that is on the caller's search_path takes part. (In an extension's script it does not
-- anyway, and what is set there for longer would outlast the script.)
DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_catalog.pg_extension AS e
        WHERE e.extname OPERATOR(pg_catalog.=) 'pgmq'::pg_catalog.name
    ) THEN
        PERFORM
            pg_catalog.set_config(
                'pgmq.search_path', pg_catalog.current_setting('search_path'), false
            ),
            pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
    END IF;
END
$$;
\ir upgrade/refuse_older.sql
\ir upgrade/lock_queues.sql
-- If these sources were installed already and nobody has changed anything since, they are not run
-- again: each new function makes every session check its plans, and each comment locks its table.
DO $install$
DECLARE
    v_sources CONSTANT text[] := ARRAY[
\quoted sources.sql
    ];
    v_digest CONSTANT text := md5(array_to_string(v_sources, ''));
    v_source text;
    v_is_installed boolean := false;
BEGIN
    IF to_regclass('pgmq.installation') IS NOT NULL THEN
        -- CREATE EXTENSION over an installation without an extension must still run the sources, to
        -- make everything a member.
        SELECT pgmq._installed_state(i.names) = i.state AND EXISTS (
            SELECT FROM pg_extension AS e WHERE e.extname = 'pgmq'
        ) = EXISTS (
            SELECT FROM pg_depend AS d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = 'pgmq.installation'::regclass
                AND d.deptype = 'e'
        )
        INTO v_is_installed
        FROM pgmq.installation AS i
        WHERE i.digest = v_digest;
    END IF;
    IF v_is_installed THEN
        RETURN;
    END IF;
    FOREACH v_source IN ARRAY v_sources LOOP
        EXECUTE v_source;
    END LOOP;
    DELETE FROM pgmq.installation;
    INSERT INTO pgmq.installation (digest, names)
    SELECT v_digest, array_agg(DISTINCT m.match[1])
    FROM unnest(v_sources) AS s (source)
    CROSS JOIN regexp_matches(s.source, '\mpgmq[.]"?(\w+)', 'g') AS m (match)
    WHERE NOT starts_with(m.match[1], '_pinned');       -- pin() writes those
END
$install$;
\ir upgrade/adopt.sql
\ir upgrade/recompile.sql
UPDATE pgmq.installation AS i
SET state = pgmq._installed_state(i.names)
WHERE i.state IS DISTINCT FROM pgmq._installed_state(i.names);
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = 'pgmq') THEN
        PERFORM set_config('search_path', current_setting('pgmq.search_path'), false);
    END IF;
END
$$;
