-- CREATE EXTENSION has made the schema already, and CREATE SCHEMA IF NOT EXISTS is refused in an
-- extension's script when the schema is not a member.
DO $$
BEGIN
    IF to_regnamespace('pgmq') IS NULL THEN
        CREATE SCHEMA pgmq;
    END IF;
END
$$;
