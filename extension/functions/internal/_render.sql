CREATE OR REPLACE FUNCTION pgmq._render(body text, queue_name text, policy pgmq.policy)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET intervalstyle = 'postgres'
AS $$
DECLARE
    v_policy jsonb := to_jsonb(policy);
    v_line text;
    v_lines text[] := '{}'::text[];
    v_mark text[];
    v_kept boolean[] := '{}'::boolean[];    -- of each condition around the line
    v_identifier text;
    v_name text;
    v_option record;
BEGIN
    -- Lines between "--# if a or b" (or "--# unless a or b") and "--# end" are for queues whose
    -- policy says something (or nothing) about one of these.
    IF strpos(body, '--# ') > 0 THEN
        FOREACH v_line IN ARRAY string_to_array(body, E'\n') LOOP
            v_mark := regexp_match(v_line, '^ *--# (if|unless|end) ?(.*)$');
            IF v_mark[1] = 'end' THEN
                v_kept := v_kept[:cardinality(v_kept) - 1];
            ELSIF v_mark IS NOT NULL THEN
                v_kept := v_kept || ((v_mark[1] = 'if') = EXISTS (
                    SELECT FROM regexp_split_to_table(v_mark[2], ' or ') AS o (name)
                    WHERE coalesce(v_policy ->> o.name, 'false') <> 'false'
                ));
            ELSIF true = ALL (v_kept) THEN
                v_lines := v_lines || v_line;
            END IF;
        END LOOP;
        body := array_to_string(v_lines, E'\n');
    END IF;
    FOR v_option IN
        SELECT a.attname AS name, format_type(a.atttypid, null) AS type
        FROM pg_attribute AS a
        WHERE a.attrelid = 'pgmq.policy'::regclass AND a.attnum > 0
            AND strpos(body, a.attname || '$policy') > 0
    LOOP
        body := regexp_replace(
            body,
            format('\m%s\$policy\M', v_option.name),
            replace(
                format('%L::%s', v_policy ->> v_option.name, v_option.type), '\', '\\'
            ),
            'g'
        );
    END LOOP;

    -- $queue cannot be part of a queue's name (format_table_name refuses $), nor can the quote that
    -- ends a literal, so the result is the template with other identifiers and nothing else.
    FOR v_identifier IN
        SELECT DISTINCT m.match[1]
        FROM regexp_matches(body, '\mpgmq\."?(\w+\$queue)\M', 'g') AS m (match)
    LOOP
        v_name := CASE v_identifier
            WHEN 'q_$queue' THEN pgmq.format_table_name(queue_name, 'q')
            WHEN 'a_$queue' THEN pgmq.format_table_name(queue_name, 'a')
            WHEN 'dead_letters_$queue'
                THEN pgmq.format_table_name(policy.dead_letter_queue, 'q')
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
COMMENT ON FUNCTION pgmq._render(text, text, pgmq.policy) IS
'A template with the identifiers of this queue in place of those of "$queue", and what its policy says in place of "...$policy".';
