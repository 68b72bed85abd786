CREATE OR REPLACE FUNCTION pgmq._render(body text, queue_name text)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_identifier text;
    v_name text;
BEGIN
    -- $queue cannot be part of a queue's name (format_table_name refuses $), nor can the quote that
    -- ends a literal, so the result is the template with other identifiers and nothing else.
    FOR v_identifier IN
        SELECT DISTINCT m.match[1]
        FROM regexp_matches(body, '\mpgmq\."?(\w+\$queue)\M', 'g') AS m (match)
    LOOP
        v_name := CASE
            WHEN v_identifier = 'q_$queue' THEN pgmq.format_table_name(queue_name, 'q')
            WHEN v_identifier = 'a_$queue' THEN pgmq.format_table_name(queue_name, 'a')
            ELSE replace(v_identifier, '$queue', pgmq._suffix(queue_name))
        END;
        body := replace(
            replace(body, format('pgmq.%I', v_identifier), format('pgmq.%I', v_name)),
            format('pgmq.%s', v_identifier), format('pgmq.%I', v_name)
        );
    END LOOP;
    RETURN body;
END
$$;
COMMENT ON FUNCTION pgmq._render(text, text) IS
'A template with the identifiers of this queue in place of those of "$queue".';
