-- What a role may not do is said before anything is done, and with what would help. (The functions
-- that look a name up, such as to_regclass, need the schema that is asked about here.)
DO $$
DECLARE
    v_owner regrole;
    v_meta_owner regrole;
BEGIN
    SELECT n.nspowner, c.relowner
    INTO v_owner, v_meta_owner
    FROM pg_namespace AS n
    LEFT JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = 'meta'
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
    ELSIF NOT (has_schema_privilege('pgmq', 'USAGE') AND has_schema_privilege('pgmq', 'CREATE')) THEN
        RAISE EXCEPTION 'role % may not create anything in the schema pgmq, which belongs to %',
            current_user, v_owner
        USING ERRCODE = 'insufficient_privilege', HINT = format(
            'Run this as %s, who can also GRANT ALL ON SCHEMA pgmq TO %I WITH GRANT OPTION.',
            v_owner, current_user
        );
    ELSIF NOT pg_has_role(v_meta_owner, 'USAGE') THEN
        RAISE EXCEPTION 'the pgmq in this database belongs to role %, and not to %',
            v_meta_owner, current_user
        USING ERRCODE = 'insufficient_privilege', HINT = format('Run this as %s.', v_meta_owner);
    END IF;
END
$$;
