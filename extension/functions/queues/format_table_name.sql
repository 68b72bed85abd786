CREATE OR REPLACE FUNCTION pgmq.format_table_name(queue_name text, prefix text)
RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
BEGIN
    IF queue_name ~ '[$;'']|--' THEN
        -- chr(92) is a backslash. Written out, it would mean something else where
        -- standard_conforming_strings is off.
        RAISE EXCEPTION 'queue name contains invalid characters: $, ;, --, or %''', chr(92);
    END IF;
    RETURN lower(pg_catalog.format('%s_%s', prefix, queue_name));
END
$$;
COMMENT ON FUNCTION pgmq.format_table_name(text, text) IS
'Return the name of a queue''s table in the schema pgmq, in lower case and not quoted.

The prefix is q for the queue, a for the archive.';
