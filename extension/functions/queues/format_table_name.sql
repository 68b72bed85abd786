CREATE OR REPLACE FUNCTION pgmq.format_table_name(queue_name text, prefix text)
RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
BEGIN
    IF queue_name ~ '[$;'']|--' THEN
        -- Not written out: a backslash means something else where
        -- standard_conforming_strings is off.
        RAISE EXCEPTION 'queue name contains invalid characters: $, ;, --, or %''', chr(92);
    END IF;
    RETURN lower(pg_catalog.format('%s_%s', prefix, queue_name));
END
$$;
COMMENT ON FUNCTION pgmq.format_table_name(text, text) IS
'The name of a queue''s table in the schema pgmq: prefix q for the queue, a for the archive.

Lower-case, not quoted.';
