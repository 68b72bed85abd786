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
\ir schema/older.sql
\ir schema/lock.sql
\ir schema/schema.sql
\ir schema/types.sql
\ir schema/meta.sql
\ir schema/policy.sql
\ir schema/partitioning.sql
\ir schema/look.sql
\ir schema/template.sql
\ir schema/notify.sql
\ir schema/topics.sql
\ir schema/exchanges.sql
\ir schema/channels.sql
\ir templates.sql
\ir functions.sql
\ir upstream.sql
\ir privileges.sql
\ir adopt.sql
\ir recompile.sql
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = 'pgmq') THEN
        PERFORM set_config('search_path', current_setting('pgmq.search_path'), false);
    END IF;
END
$$;
