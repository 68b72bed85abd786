-- Most functions take a queue's name in whatever case. With thousands of queues, none of them must
-- go through all rows to find one.
DO $$
DECLARE
    v_index record;
BEGIN
    FOR v_index IN
        SELECT t.parent, t.key, format('%s_%s_lower_idx', t.parent, t.key) AS name
        FROM (
            VALUES
                ('meta', 'queue_name'),
                ('policy', 'queue_name'),
                ('policy', 'dead_letter_queue'),
                ('paused', 'queue_name'),
                ('partitioning', 'queue_name'),
                ('stream_group', 'queue_name'),
                ('stream_group', 'dead_letter_queue'),
                ('stream_segment', 'queue_name'),
                ('topic_bindings', 'queue_name')
        ) AS t (parent, key)
    LOOP
        IF to_regclass(format('pgmq.%I', v_index.name)) IS NULL THEN
            EXECUTE format(
                'CREATE INDEX %I ON pgmq.%I (lower(%I))', v_index.name, v_index.parent, v_index.key
            );
        END IF;
    END LOOP;
    -- 2.0.0 had this one, which looks up by case.
    IF to_regclass('pgmq.policy_dead_letter_queue_idx') IS NOT NULL THEN
        DROP INDEX pgmq.policy_dead_letter_queue_idx;
    END IF;
END
$$;
