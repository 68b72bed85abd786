-- A template is the SQL of a queue called "$queue". It is valid SQL and contains
--   * pgmq.NAME_$queue: a relation or a function of the queue;
--   * NAME$policy and NAME$partitions: replaced by what _words() says;
--   * lines "--# if a or b", "--# unless a or b", "--# else" and "--# end": the lines between them
--     are for queues that have one of these features, or none of them.
-- Anything else that looks like one of these is an error. A first line "--# for a or b" has become
-- template.features: for which queues a template is compiled at all.
CREATE OR REPLACE FUNCTION pgmq._features(queue_name text, policy pgmq.policy)
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_queue CONSTANT text := format('pgmq.%I', pgmq.format_table_name(queue_name, 'q'));
    v_key CONSTANT text := pgmq._partition_column(v_queue);
    v_is_stream CONSTANT boolean := pgmq._is_stream(to_regclass(v_queue));
    v_paused CONSTANT pgmq.paused := pgmq._pause_of(queue_name);
    v_paused_leases CONSTANT boolean := v_paused.reads AND NOT v_is_stream;
BEGIN
    RETURN to_jsonb(policy) || jsonb_build_object(
        'plain', v_key IS NULL,
        'partitioned', v_key IS NOT NULL AND NOT v_is_stream,
        'stream', v_is_stream,
        'leases', NOT v_is_stream,
        'unranked', NOT v_is_stream AND NOT policy.priorities,
        'partitions', v_key IS NOT NULL,
        'admission', coalesce(
            policy.max_in_flight, policy.max_in_flight_per_group, policy.rate_limit
        ) IS NOT NULL OR v_paused_leases,
        'paused_leases', v_paused_leases,
        'paused_reads', v_paused.reads,
        'paused_sends', v_paused.sends,
        'dedup', policy.dedup_window IS NOT NULL OR pgmq._is_pending(policy),
        'pending', pgmq._is_pending(policy),
        'by_time', coalesce(v_key = 'enqueued_at', false),
        'fifo', pgmq._relation('fifo_idx', queue_name) IS NOT NULL,
        'fair', policy.max_in_flight_per_group IS NOT NULL
            OR pgmq._relation('turn', queue_name) IS NOT NULL,
        'notify', pgmq._relation('notify_at', queue_name) IS NOT NULL,
        'wakeups', pgmq._relation('armed_until', queue_name) IS NOT NULL,
        'schedules', EXISTS (SELECT FROM pgmq._ticks_of(queue_name))
    );
END
$$;
COMMENT ON FUNCTION pgmq._features(text, pgmq.policy) IS
'The features of a queue that templates ask about: its kind, its policy, and what else is enabled.

The kind is plain, partitioned or stream. Plain and partitioned ones have leases: each message is
leased and removed by itself; without priorities, they are unranked. Partitioned ones and streams
consist of partitions. Reads of a queue with admission ask admit() how many messages they may have.
While reads are paused, queues with leases have paused_leases, too. dedup is deduplication of any
scope, pending the one that lasts until the message has left.';

CREATE OR REPLACE FUNCTION pgmq._has_feature(conditions text, features jsonb)
RETURNS boolean
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_name text;
    v_has boolean := conditions = '';
BEGIN
    FOREACH v_name IN ARRAY string_to_array(conditions, ' or ') LOOP
        IF NOT features ? v_name THEN
            RAISE EXCEPTION 'no queue has a feature "%"', v_name
                USING ERRCODE = 'syntax_error',
                    HINT = 'Templates ask for what pgmq._features() returns.';
        END IF;
        v_has := v_has OR coalesce(features ->> v_name, 'false') <> 'false';
    END LOOP;
    RETURN v_has;
END
$$;
COMMENT ON FUNCTION pgmq._has_feature(text, jsonb) IS
'Whether a queue with these features meets a template''s condition ("a or b"), or there is none.';

CREATE OR REPLACE FUNCTION pgmq._words(queue_name text, policy pgmq.policy)
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET intervalstyle = 'postgres' SET quote_all_identifiers = off
AS $$
DECLARE
    v_table CONSTANT text := format('pgmq.%I', pgmq.format_table_name(queue_name, 'q'));
    v_interval CONSTANT text := (
        SELECT t.partition_interval FROM pgmq._partitioning_of(queue_name, false) AS t
    );
    v_words CONSTANT jsonb := (
        SELECT jsonb_object_agg(
            concat(a.attname, '$policy'),
            format('%L::%s', to_jsonb(policy) ->> a.attname, format_type(a.atttypid, null))
        )
        FROM pg_attribute AS a
        WHERE a.attrelid = 'pgmq.policy'::regclass AND a.attnum > 0 AND NOT a.attisdropped
    ) || jsonb_build_object('span$segments', format('%L::bigint', v_interval));
    v_key name;
    v_first text;
    v_front text;
    v_last text;
    v_live text;
BEGIN
    SELECT b.key, b.first, b.last INTO v_key, v_first, v_last
    FROM pgmq._bounds(to_regclass(v_table), '$queue') AS b;
    IF v_key IS NULL THEN
        RETURN v_words || jsonb_build_object(
            'live$partitions', 'true',
            'lookup$partitions', 'true',
            'front$partitions', 'true',
            'front_key$partitions', 'null',
            'last_key$partitions', 'null',
            'default$partitions', 'null'
        );
    END IF;
    v_live := format('$row.%I BETWEEN %s AND %s', v_key, v_first, v_last);
    IF v_key = 'msg_id' THEN
        -- A mark may be some hundreds of messages behind.
        v_front := format(
            'pgmq._id_front(''pgmq.floor_mark_$queue'', ''pgmq.ready_mark_$queue'', %s, %s)',
            greatest(2 * coalesce(v_interval, '10000')::bigint, 2000), v_last
        );
    ELSE
        v_front := format(
            'pgmq._time_front(''pgmq.floor_mark_$queue'', %L, %s)',
            coalesce(v_interval, '1 day'), v_last
        );
    END IF;
    RETURN v_words || jsonb_build_object(
        'live$partitions', v_live,
        'lookup$partitions', CASE v_key WHEN 'msg_id' THEN 'true' ELSE v_live END,
        'front$partitions', format('$row.%I BETWEEN %s AND %s', v_key, v_first, v_front),
        'front_key$partitions', v_front,
        'last_key$partitions', v_last,
        'default$partitions', format('to_regclass(%L)::oid', format(
            'pgmq.%I', pgmq._partition_name(v_table::regclass, '_default')
        ))
    );
END
$$;
COMMENT ON FUNCTION pgmq._words(text, pgmq.policy) IS
'The SQL that replaces "option$policy" and "...$partitions" in the templates of a queue.

option$policy is the value of an option; span$segments is how many msg_ids a segment of a stream is
for. The others restrict a statement to the partitions that have
messages; for a queue without partitions they are true. live$partitions(q) is the condition for
scans, front$partitions(q) the one for the first partitions with messages. lookup$partitions(q) is
the condition for statements that look messages up by msg_id. (It is only needed for partitions by
time: a msg_id itself determines its partition.) front_key and last_key are the ends of front and
live; default is the default partition.';

CREATE OR REPLACE FUNCTION pgmq._lines_for(body text, features jsonb)
RETURNS text
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_line text;
    v_lines text[] := '{}'::text[];
    v_marker text[];
    -- For each condition around the line: what began it, and whether its lines are kept.
    v_began text[] := '{}'::text[];
    v_kept boolean[] := '{}'::boolean[];
    v_depth integer := 0;
BEGIN
    FOREACH v_line IN ARRAY string_to_array(body, E'\n') LOOP
        IF strpos(v_line, '--#') = 0 THEN
            IF true = ALL (v_kept) THEN
                v_lines := v_lines || v_line;
            END IF;
            CONTINUE;
        END IF;
        v_marker := regexp_match(
            v_line, '^ *--# (?:(if|unless) ([a-z_]+(?: or [a-z_]+)*)|(else|end))$'
        );
        CASE coalesce(v_marker[1], v_marker[3], '')
            WHEN 'if', 'unless' THEN
                v_depth := v_depth + 1;
                v_began[v_depth] := v_marker[1];
                v_kept[v_depth] := (v_marker[1] = 'if') = pgmq._has_feature(v_marker[2], features);
            WHEN 'else' THEN
                IF v_depth = 0 OR v_began[v_depth] = 'else' THEN
                    PERFORM pgmq._raise_template(body, 'an else without its condition');
                END IF;
                v_began[v_depth] := 'else';
                v_kept[v_depth] := NOT v_kept[v_depth];
            WHEN 'end' THEN
                IF v_depth = 0 THEN
                    PERFORM pgmq._raise_template(body, 'an end without its condition');
                END IF;
                v_depth := v_depth - 1;
                v_began := v_began[:v_depth];
                v_kept := v_kept[:v_depth];
            ELSE
                PERFORM pgmq._raise_template(body, format('an unknown marker: %s', ltrim(v_line)));
        END CASE;
    END LOOP;
    IF v_depth > 0 THEN
        PERFORM pgmq._raise_template(body, 'a condition without its end');
    END IF;
    RETURN array_to_string(v_lines, E'\n');
END
$$;
COMMENT ON FUNCTION pgmq._lines_for(text, jsonb) IS
'The lines of a template that apply to a queue with these features.';

CREATE OR REPLACE FUNCTION pgmq._raise_template(body text, problem text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'template of % has %',
        coalesce(substring(body FROM 'FUNCTION (pgmq[.][a-z_]+[$]queue)'), 'no function'), problem
        USING ERRCODE = 'syntax_error',
            HINT = 'CONTRIBUTING.md says under "Templates" what may stand in one.';
END
$$;
COMMENT ON FUNCTION pgmq._raise_template(text, text) IS
'Raise the error for a mistake in a template.';

CREATE OR REPLACE FUNCTION pgmq._render(body text, features jsonb, words jsonb)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on SET quote_all_identifiers = off
AS $$
DECLARE
    v_queue_name CONSTANT text := features ->> 'queue_name';
    v_sql text := pgmq._lines_for(body, features);
    v_found record;
    v_word text;
    v_pattern text;
    v_name text;
BEGIN
    -- Comments are removed: each session keeps the text of the functions that it calls.
    v_sql := regexp_replace(v_sql, '^ *--( .*)?\n', '', 'gn');
    FOR v_found IN
        SELECT DISTINCT m.match[1] AS name, m.match[2] AS row
        FROM regexp_matches(
            v_sql, '\m(\w+\$(?:policy|partitions|segments))\M(?:\((\w+)\))?', 'g'
        ) AS m (match)
    LOOP
        v_word := words ->> v_found.name;
        v_pattern := '\m' || replace(v_found.name, '$', '\$') || CASE
            WHEN v_found.row IS NULL THEN '\M(?!\()'
            ELSE format('\(%s\)', v_found.row)
        END;
        IF v_word IS NULL THEN
            PERFORM pgmq._raise_template(body, format('an unknown word: %s', v_found.name));
        ELSIF v_word = 'true' THEN
            v_sql := regexp_replace(v_sql, v_pattern || '\s+AND ', '', 'g');
        END IF;
        v_sql := regexp_replace(
            v_sql, v_pattern,
            replace(replace(v_word, '\', '\\'), '$row', coalesce(v_found.row, '$row')), 'g'
        );
    END LOOP;

    -- A queue's name contains neither $ nor the quote that ends a literal (format_table_name
    -- refuses both). So only identifiers of the template change.
    FOR v_found IN
        SELECT DISTINCT m.match[1] AS name
        FROM regexp_matches(v_sql, '\mpgmq\."?(\w+\$queue)\M', 'g') AS m (match)
    LOOP
        v_name := CASE v_found.name
            WHEN 'q_$queue' THEN pgmq.format_table_name(v_queue_name, 'q')
            WHEN 'a_$queue' THEN pgmq.format_table_name(v_queue_name, 'a')
            WHEN 'ids_$queue' THEN pgmq._ids_name(v_queue_name)
            WHEN 'dead_letters_$queue'
                THEN pgmq.format_table_name(features ->> 'dead_letter_queue', 'q')
            ELSE replace(v_found.name, '$queue', pgmq._suffix(v_queue_name))
        END;
        v_sql := replace(
            replace(v_sql, format('pgmq.%I', v_found.name), format('pgmq.%I', v_name)),
            format('pgmq.%s', v_found.name), format('pgmq.%I', v_name)
        );
    END LOOP;
    v_word := substring(v_sql FROM '\w*\$[a-z]\w*');
    IF v_word IS NOT NULL THEN
        PERFORM pgmq._raise_template(body, format('an unknown word: %s', v_word));
    END IF;

    -- Planning each time costs less than a plan for all partitions does to start.
    IF words ->> 'live$partitions' <> 'true' AND strpos(body, '$partitions') > 0 THEN
        v_sql := replace(v_sql, 'force_generic_plan', 'force_custom_plan');
    END IF;
    RETURN v_sql;
END
$$;
COMMENT ON FUNCTION pgmq._render(text, jsonb, jsonb) IS
'Render a template for the queue with these features and these words.

In a partitioned queue, a function that keeps to the partitions with messages is planned on each
call.';
