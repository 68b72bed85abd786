-- What a role may not do is said before anything is done, and with what would help. (The functions
-- that look a name up, such as to_regclass, need the schema that is asked about here.)
DO $$
DECLARE
    v_schema_owner regrole;
    v_owner regrole;
    v_owner_is_super boolean;
    v_extension_owner regrole;
    v_extension_version text;
    v_is_super CONSTANT boolean := (
        SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = current_user
    );
BEGIN
    SELECT n.nspowner, c.relowner, r.rolsuper
    INTO v_schema_owner, v_owner, v_owner_is_super
    FROM pg_namespace AS n
    LEFT JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = 'meta'
    LEFT JOIN pg_roles AS r ON r.oid = c.relowner
    WHERE n.nspname = 'pgmq';
    IF NOT FOUND THEN
        IF NOT has_database_privilege(current_database(), 'CREATE') THEN
            RAISE EXCEPTION 'role % may not create the schema pgmq in database %',
                current_user, current_database()
            USING ERRCODE = 'insufficient_privilege', HINT = format(
                'The owner of the database can run GRANT CREATE ON DATABASE %I TO %I.',
                current_database(), current_user
            );
        END IF;
        RETURN;
    ELSIF NOT (has_schema_privilege('pgmq', 'USAGE') AND has_schema_privilege('pgmq', 'CREATE')) THEN
        RAISE EXCEPTION 'role % may not create anything in the schema pgmq, which belongs to %',
            current_user, v_schema_owner
        USING ERRCODE = 'insufficient_privilege', HINT = format(
            'Run this as %s, who can also GRANT ALL ON SCHEMA pgmq TO %I WITH GRANT OPTION.',
            v_schema_owner, current_user
        );
    END IF;

    -- What is replaced keeps its owner, and what is new belongs to the caller. With two owners, one
    -- could not use the other's half, and the weaker one could have its own run with the other's
    -- rights.
    IF v_owner <> quote_ident(current_user)::regrole AND NOT (v_is_super AND v_owner_is_super) THEN
        RAISE EXCEPTION 'the pgmq in this database belongs to role %, and not to %',
            v_owner, current_user
        USING ERRCODE = 'insufficient_privilege', HINT = format(
            'Run this as that role: after SET ROLE %s, or logged in as it. (What it owns can go back'
            ' to the rights of the login.)',
            v_owner
        );
    END IF;

    SELECT e.extowner::regrole, e.extversion INTO v_extension_owner, v_extension_version
    FROM pg_extension AS e
    WHERE e.extname = 'pgmq';
    IF NOT FOUND THEN
        -- Whoever owns a schema can replace all that is in it. (The extension is created in such a
        -- schema when a dump is restored: let Postgres decide.)
        IF EXISTS (
            SELECT FROM pg_roles AS r
            WHERE (r.rolsuper OR r.rolcreaterole OR r.rolreplication OR r.rolbypassrls)
                AND pg_has_role(r.oid, 'MEMBER')
        ) AND NOT pg_has_role(v_schema_owner, current_user, 'USAGE')
        THEN
            RAISE EXCEPTION 'the schema pgmq belongs to role %, which has fewer rights than %',
                v_schema_owner, current_user
            USING ERRCODE = 'insufficient_privilege', HINT = format(
                'Run this as that role, or ALTER SCHEMA pgmq OWNER TO %I: its owner could replace'
                ' what you call.',
                current_user
            );
        END IF;
    ELSIF v_extension_version <> '@EXTVERSION@' AND NOT pg_has_role(v_extension_owner, 'USAGE') THEN
        -- The plain file over an extension of another version takes everything out of it.
        RAISE EXCEPTION 'the extension pgmq belongs to role %, but what is in it to %',
            v_extension_owner, current_user
        USING ERRCODE = 'insufficient_privilege', HINT = format(
            'As %s or a superuser, run extension/upgrade/leave.sql, then this again.',
            v_extension_owner
        );
    END IF;
END
$$;
