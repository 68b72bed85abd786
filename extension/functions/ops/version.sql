CREATE OR REPLACE FUNCTION pgmq.version()
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT '@EXTVERSION@'
$$;
COMMENT ON FUNCTION pgmq.version() IS 'Return the version of pgmq whose functions are installed.';
