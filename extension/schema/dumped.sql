-- A dump of a database with the extension contains the rows of these tables. The other tables hold
-- what only a session or a running server knows, or what the sources write.
DO $$
DECLARE
    v_table regclass;
    v_key record;
BEGIN
    FOREACH v_table IN ARRAY ARRAY[
        'pgmq.meta', 'pgmq.policy', 'pgmq.partitioning', 'pgmq.topic_bindings', 'pgmq.exchange',
        'pgmq.binding', 'pgmq.pinned', 'pgmq.paused', 'pgmq.stream_group', 'pgmq.stream_segment',
        'pgmq.schedule'
    ]::regclass[] LOOP
        BEGIN
            PERFORM pg_extension_config_dump(v_table, '');
        EXCEPTION WHEN feature_not_supported OR object_not_in_prerequisite_state THEN
            NULL;       -- not in an extension's script, or the table is not a member
        END;
    END LOOP;
    -- Upstream and 2.0.0 had foreign keys between them: see functions/internal/_cascade.sql.
    FOR v_key IN
        SELECT k.conrelid::regclass AS owner, k.conname
        FROM pg_constraint AS k
        WHERE k.confrelid IN ('pgmq.meta'::regclass, 'pgmq.exchange'::regclass)
            AND k.connamespace = 'pgmq'::regnamespace
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', v_key.owner, v_key.conname);
    END LOOP;
END
$$;
