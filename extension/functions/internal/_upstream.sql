-- Functions of pgmq 1 that wrappers and hosts call, written anew, and what such hosts need.
CREATE OR REPLACE FUNCTION pgmq._extension_exists(extension_name text)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM pg_extension AS e WHERE e.extname = _extension_exists.extension_name::name
    )
$$;
COMMENT ON FUNCTION pgmq._extension_exists(text) IS 'Whether an extension is installed.';

CREATE OR REPLACE FUNCTION pgmq._belongs_to_pgmq(table_name text)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT
        FROM pgmq._members() AS m
        WHERE m.type IN ('table', 'view', 'sequence')
            AND m.identity = format('pgmq.%s', quote_ident(_belongs_to_pgmq.table_name))
    )
$$;
COMMENT ON FUNCTION pgmq._belongs_to_pgmq(text) IS
'Whether a relation is a member of the extension; the relations of queues are not.';

CREATE OR REPLACE FUNCTION pgmq._get_pg_partman_schema()
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.schema_name::text FROM pgmq._partman() AS p
$$;
COMMENT ON FUNCTION pgmq._get_pg_partman_schema() IS
'The schema of the extension pg_partman; null if it is not installed.';

CREATE OR REPLACE FUNCTION pgmq._get_pg_partman_major_version()
RETURNS integer
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.major_version FROM pgmq._partman() AS p
$$;
COMMENT ON FUNCTION pgmq._get_pg_partman_major_version() IS
'The major version of the extension pg_partman; null if it is not installed.';

CREATE OR REPLACE FUNCTION pgmq._ensure_pg_partman_installed()
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pgmq._get_pg_partman_schema() IS NULL THEN
        RAISE EXCEPTION 'pg_partman is required for partitioned queues'
            USING HINT = 'Only callers of this function need it: pgmq keeps partitions without it.';
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._ensure_pg_partman_installed() IS
'Raise an error unless the extension pg_partman is installed.';

CREATE OR REPLACE FUNCTION pgmq._get_partition_col(partition_interval text)
RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN pgmq._is_id_interval(partition_interval) IS NOT false THEN 'msg_id'
        ELSE 'enqueued_at'
    END
$$;
COMMENT ON FUNCTION pgmq._get_partition_col(text) IS
'The column by which a queue with this interval is partitioned.';

CREATE OR REPLACE FUNCTION pgmq._create_fifo_index_if_not_exists(queue_name text)
RETURNS void
LANGUAGE sql VOLATILE
AS $$
    SELECT pgmq.create_fifo_index(queue_name)
$$;
COMMENT ON FUNCTION pgmq._create_fifo_index_if_not_exists(text) IS 'Call create_fifo_index.';

CREATE OR REPLACE FUNCTION pgmq._send_batch(
    queue_name text,
    msgs jsonb[],
    headers jsonb[],
    delay timestamptz
)
RETURNS SETOF bigint
LANGUAGE sql VOLATILE ROWS 100
AS $$
    SELECT pgmq.send_batch(queue_name, msgs, headers, delay)
$$;
COMMENT ON FUNCTION pgmq._send_batch(text, jsonb[], jsonb[], timestamptz) IS 'Call send_batch.';

CREATE OR REPLACE FUNCTION pgmq._change_throttle()
RETURNS trigger
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM pgmq.enable_notify_insert(new.queue_name, coalesce(new.throttle_interval_ms, 250));
        RETURN new;
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM pgmq.disable_notify_insert(old.queue_name);
        RETURN old;
    END IF;
    IF new.queue_name <> old.queue_name THEN
        RAISE EXCEPTION 'queue_name of pgmq.notify_insert_throttle cannot be changed'
            USING ERRCODE = 'feature_not_supported',
                HINT = 'Call pgmq.disable_notify_insert and pgmq.enable_notify_insert.';
    END IF;
    IF new.throttle_interval_ms IS DISTINCT FROM old.throttle_interval_ms THEN
        PERFORM pgmq.update_notify_insert(new.queue_name, new.throttle_interval_ms);
    END IF;
    IF new.last_notified_at IS DISTINCT FROM old.last_notified_at THEN
        PERFORM setval(
            format('pgmq.%I', pgmq._relation_name('notify_at', new.queue_name))::regclass,
            pgmq._announcement(new.last_notified_at, 0)
        );
    END IF;
    RETURN new;
END
$$;
COMMENT ON FUNCTION pgmq._change_throttle() IS
'Trigger of the view notify_insert_throttle, a table in pgmq 1: does what the change means.';

CREATE OR REPLACE FUNCTION pgmq._clear_away()
RETURNS trigger
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_role text;
BEGIN
    IF pgmq._queue_table(old.queue_name) IS NOT NULL THEN
        RETURN null;
    END IF;
    PERFORM pgmq._retire(old.queue_name);
    FOREACH v_role IN ARRAY ARRAY['dedup', 'lane'] LOOP
        IF pgmq._relation(v_role, old.queue_name) IS NOT NULL THEN
            EXECUTE format('DROP TABLE pgmq.%I', pgmq._relation_name(v_role, old.queue_name));
        END IF;
    END LOOP;
    RETURN null;
END
$$;
COMMENT ON FUNCTION pgmq._clear_away() IS
'Trigger: drop the functions of a queue whose tables and row of pgmq.meta were removed.';
