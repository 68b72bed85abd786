-- A stand-in for what pg_tle documents (docs/03_managing_extensions.md and 30_architecture.md of
-- its repository): it keeps each script as the result of a function, by these names. CREATE
-- EXTENSION takes no notice of them.
CREATE SCHEMA pgtle;

CREATE FUNCTION pgtle.keep(file text, content text, replace boolean DEFAULT false)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF content ~ '\$_pgtle_[io]_\$' THEN
        RAISE EXCEPTION 'invalid character in extension definition';
    END IF;
    EXECUTE format(
        'CREATE %s FUNCTION pgtle.%I() RETURNS text LANGUAGE sql AS %L',
        CASE WHEN replace THEN 'OR REPLACE' END, file, format('SELECT %L', content)
    );
END
$$;

CREATE FUNCTION pgtle.available_extension_versions(OUT name name, OUT version text)
RETURNS SETOF record LANGUAGE sql AS $$
    SELECT m.parts[1]::name, m.parts[2]
    FROM pg_proc AS p
    CROSS JOIN regexp_matches(p.proname, '^(.*?)--((?:(?!--).)*)\.sql$') AS m (parts)
    WHERE p.pronamespace = 'pgtle'::regnamespace
$$;

CREATE FUNCTION pgtle.available_extensions(OUT name name, OUT default_version text)
RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
    FOR name IN
        SELECT regexp_replace(p.proname, '\.control$', '')
        FROM pg_proc AS p
        WHERE p.pronamespace = 'pgtle'::regnamespace AND p.proname ~ '\.control$'
    LOOP
        EXECUTE format('SELECT pgtle.%I()', name || '.control') INTO default_version;
        RETURN NEXT;
    END LOOP;
END
$$;

CREATE FUNCTION pgtle.install_extension_version_sql(name text, version text, ext text)
RETURNS boolean LANGUAGE sql AS $$
    SELECT pgtle.keep(format('%s--%s.sql', name, version), ext);
    SELECT true;
$$;

CREATE FUNCTION pgtle.install_update_path(name text, fromvers text, tovers text, ext text)
RETURNS boolean LANGUAGE sql AS $$
    SELECT pgtle.keep(format('%s--%s--%s.sql', name, fromvers, tovers), ext);
    SELECT true;
$$;

CREATE FUNCTION pgtle.set_default_version(name text, version text)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF (name, version) NOT IN (
        SELECT v.name, v.version FROM pgtle.available_extension_versions() AS v
    ) THEN
        RAISE EXCEPTION 'extension and version do not exist';
    END IF;
    PERFORM pgtle.keep(name || '.control', version, replace => true);
    RETURN true;
END
$$;

-- As it was before version 1.5. Then it got a sixth argument, schema text.
CREATE FUNCTION pgtle.install_extension(
    name text, version text, description text, ext text, requires text[] DEFAULT NULL
) RETURNS boolean LANGUAGE sql AS $$
    SELECT pgtle.install_extension_version_sql(name, version, ext);
    SELECT pgtle.set_default_version(name, version);
$$;
