-- CREATE EXTENSION has created the schema already. In its script, CREATE SCHEMA IF NOT EXISTS would
-- fail if the schema is not a member of the extension.
DO $$
BEGIN
    IF to_regnamespace('pgmq') IS NULL THEN
        CREATE SCHEMA pgmq;
    END IF;
END
$$;
