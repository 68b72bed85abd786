CREATE OR REPLACE FUNCTION pgmq._features(queue_name text, policy pgmq.policy)
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_queue CONSTANT text := format('pgmq.%I', pgmq.format_table_name(queue_name, 'q'));
    v_key CONSTANT text := pgmq._partition_column(v_queue);
BEGIN
    RETURN to_jsonb(policy) || jsonb_build_object(
        'partitioned', v_key IS NOT NULL,
        'by_time', v_key = 'enqueued_at',
        'fifo', to_regclass(format('pgmq.%I', 'fifo_idx_' || pgmq._suffix(queue_name))) IS NOT NULL,
        'notify', to_regclass(format('pgmq.%I', 'notify_at_' || pgmq._suffix(queue_name))) IS NOT NULL,
        'wakeups', to_regclass(format('pgmq.%I', 'armed_until_' || pgmq._suffix(queue_name))) IS NOT NULL
    );
END
$$;
COMMENT ON FUNCTION pgmq._features(text, pgmq.policy) IS
'What templates ask about a queue: what its policy says, and what else was enabled for it.';

CREATE OR REPLACE FUNCTION pgmq._has_feature(conditions text, features jsonb)
RETURNS boolean
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM regexp_split_to_table(conditions, ' or ') AS o (name)
        WHERE coalesce(features ->> o.name, 'false') <> 'false'
    )
$$;
COMMENT ON FUNCTION pgmq._has_feature(text, jsonb) IS
'Whether one of the conditions of a template ("a or b") holds for a queue with these features.';

CREATE OR REPLACE FUNCTION pgmq._render(
    body text,
    queue_name text,
    policy pgmq.policy,
    features jsonb
)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET intervalstyle = 'postgres'
SET standard_conforming_strings = on
AS $$
DECLARE
    v_key text := pgmq._partition_column(
        format('pgmq.%I', pgmq.format_table_name(queue_name, 'q'))
    );
    v_policy CONSTANT jsonb := features || to_jsonb(policy);
    v_first text;
    v_last text;
    v_front text;
    v_interval text;
    v_line text;
    v_lines text[] := '{}'::text[];
    v_mark text[];
    v_kept boolean[] := '{}'::boolean[];    -- of each condition around the line
    v_identifier text;
    v_name text;
    v_option record;
BEGIN
    -- Lines between "--# if a or b" (or "--# unless a or b") and "--# end" are for queues whose
    -- policy says something (or nothing) about one of these, or which are partitioned.
    IF strpos(body, '--# ') > 0 THEN
        FOREACH v_line IN ARRAY string_to_array(body, E'\n') LOOP
            v_mark := CASE
                WHEN strpos(v_line, '--# ') > 0
                    THEN regexp_match(v_line, '^ *--# (if|unless|end|for) ?(.*)$')
            END;
            IF v_mark[1] = 'for' THEN
                CONTINUE;       -- for _compile()
            ELSIF v_mark[1] = 'end' THEN
                v_kept := v_kept[:cardinality(v_kept) - 1];
            ELSIF v_mark IS NOT NULL THEN
                v_kept := v_kept || (
                    (v_mark[1] = 'if') = pgmq._has_feature(v_mark[2], v_policy)
                );
            ELSIF true = ALL (v_kept) THEN
                v_lines := v_lines || v_line;
            END IF;
        END LOOP;
        body := array_to_string(v_lines, E'\n');
    END IF;
    -- Sessions keep the text of what they call; its comments are here.
    body := regexp_replace(body, '^ *-- .*\n', '', 'gn');
    -- "$live(q) AND" confines a scan of a partitioned queue to the partitions where messages are;
    -- "$timely(q) AND" is for what looks messages up by msg_id, which itself says where they are,
    -- unless the partitions are those of times; "$front(q) AND" is for the first ones with messages.
    IF v_key IS NULL THEN
        body := regexp_replace(body, '\$(live|timely|front)\(\w+\)\s+AND ', '', 'g');
    ELSE
        v_interval := (
            SELECT t.partition_interval FROM pgmq.partitioning AS t
            WHERE lower(t.queue_name) = lower(_render.queue_name) AND NOT t.is_archive
        );
        SELECT b.first, b.last INTO v_first, v_last
        FROM pgmq._bounds(
            format('pgmq.%I', pgmq.format_table_name(queue_name, 'q'))::regclass, '$queue'
        ) AS b;
        IF v_key = 'msg_id' THEN
            -- A mark may be some hundreds of messages behind.
            v_front := format(
                'pgmq._id_front(''pgmq.floor_mark_$queue'', ''pgmq.ready_mark_$queue'', %s, %s)',
                greatest(2 * coalesce(v_interval, '10000')::bigint, 2000), v_last
            );
            body := regexp_replace(body, '\$timely\(\w+\)\s+AND ', '', 'g');
        ELSE
            v_front := format(
                'pgmq._time_front(''pgmq.floor_mark_$queue'', %L, %s)',
                coalesce(v_interval, '1 day'), v_last
            );
        END IF;
        body := regexp_replace(
            body, '\$(?:live|timely)\((\w+)\)',
            format('\1.%s BETWEEN %s AND %s', v_key, v_first, v_last), 'g'
        );
        body := regexp_replace(
            body, '\$front\((\w+)\)',
            format('\1.%s BETWEEN %s AND %s', v_key, v_first, v_front), 'g'
        );
        body := replace(replace(body, '$key', v_key), '$first', v_first);
        body := replace(replace(body, '$front', v_front), '$top', v_last);
        body := replace(body, '$default', format(
            'to_regclass(%L)::oid', format('pgmq.%I', pgmq._partition_name(
                format('pgmq.%I', pgmq.format_table_name(queue_name, 'q'))::regclass, '_default'
            ))
        ));
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
COMMENT ON FUNCTION pgmq._render(text, text, pgmq.policy, jsonb) IS
'A template as it is for this queue.

The queue''s identifiers stand in place of those of "$queue", what its policy says in place of "...$policy", and, where it is partitioned, the partitions to look at in place of "$live(...)" and its like.';
