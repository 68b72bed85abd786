CREATE OR REPLACE FUNCTION pgmq._create_archive(queue_name text, partition_interval text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_archive text := pgmq.format_table_name(queue_name, 'a');
BEGIN
    -- Not IF NOT EXISTS: an extension's script may use that only for its members.
    IF to_regclass(format('pgmq.%I', v_archive)) IS NULL THEN
        EXECUTE format(
            $ddl$
            CREATE TABLE pgmq.%I (
                msg_id bigint %s,
                read_ct integer NOT NULL DEFAULT 0,
                enqueued_at timestamptz NOT NULL DEFAULT now(),
                last_read_at timestamptz,
                archived_at timestamptz NOT NULL DEFAULT now(),
                vt timestamptz NOT NULL,
                message jsonb,
                headers jsonb
            ) %s
            $ddl$,
            v_archive,
            CASE WHEN partition_interval IS NULL THEN 'PRIMARY KEY' ELSE 'NOT NULL' END,
            CASE
                WHEN pgmq._is_id_interval(partition_interval) THEN 'PARTITION BY RANGE (msg_id)'
                WHEN partition_interval IS NOT NULL THEN 'PARTITION BY RANGE (archived_at)'
            END
        );
    END IF;
    PERFORM pgmq._build_index('archived_at_idx', queue_name);
    IF partition_interval IS NOT NULL THEN
        PERFORM pgmq._build_index('archived_id_idx', queue_name);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._create_archive(text, text) IS
'Create the archive of a queue unless it is there.';
