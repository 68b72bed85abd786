CREATE OR REPLACE FUNCTION pgmq._create_stream_tables(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
    v_queue CONSTANT text := pgmq.format_table_name(queue_name, 'q');
    v_lane CONSTANT text := pgmq._relation_name('lane', queue_name);
BEGIN
    -- A message is written once, into one index, and never changed. The hash of its key is
    -- generated, so that a row that was inserted by hand has it, and nobody can give another one. It
    -- lies before the columns of variable length.
    IF to_regclass(format('pgmq.%I', v_queue)) IS NULL THEN
        EXECUTE format(
            $ddl$
            CREATE TABLE pgmq.%I (
                msg_id bigint GENERATED ALWAYS AS IDENTITY,
                enqueued_at timestamptz NOT NULL DEFAULT now(),
                key_hash integer GENERATED ALWAYS AS (
                    (hashtextextended(headers ->> 'x-pgmq-group', 0) & 2147483647)::integer
                ) STORED,
                message jsonb,
                headers jsonb,
                PRIMARY KEY (msg_id)
            ) PARTITION BY RANGE (msg_id)
            $ddl$,
            v_queue
        );
    END IF;
    -- How far a lane of a group has read. A row is never updated: a change inserts a row of a higher
    -- version and deletes the one before. So the newest state is the last entry of the lane in the
    -- index, found in one step from its end, however many dead entries lie before it while an old
    -- snapshot is held.
    IF to_regclass(format('pgmq.%I', v_lane)) IS NULL THEN
        EXECUTE format(
            $ddl$
            CREATE TABLE pgmq.%I (
                group_name text COLLATE "C" NOT NULL,
                lane integer NOT NULL,
                version bigint NOT NULL,
                lanes integer NOT NULL,         -- of the group
                done bigint NOT NULL,           -- everything up to here is committed
                leased bigint NOT NULL,         -- everything up to here is handed out
                epoch bigint NOT NULL,          -- the lease that it was handed out by
                vt timestamptz NOT NULL,        -- nobody else gets the lane before this time
                size integer NOT NULL,          -- how many messages were handed out
                pid integer,                    -- the session that the lease was given to
                changed_at timestamptz NOT NULL,
                -- Each batch that was handed out in vain: up to which msg_id it went. Each lies in
                -- the one before, and what is committed is left out.
                failed bigint[] NOT NULL,
                error text,                     -- of the last one
                PRIMARY KEY (group_name, lane, version)
            ) PARTITION BY LIST (group_name)
            $ddl$,
            v_lane
        );
        -- It may have been lost, and is made again by somebody else.
        IF pgmq._owner(pgmq._queue_table(queue_name)) <> quote_ident(current_user)::regrole THEN
            EXECUTE format(
                'ALTER TABLE pgmq.%I OWNER TO %s', v_lane, pgmq._owner(pgmq._queue_table(queue_name))
            );
        END IF;
        -- A role sees and changes only the lanes of groups that it may read as: see grant_fetch. The
        -- policies are those of the table that a query names. pg_dump, which refuses to read past a
        -- policy, names the partition, to which nobody is granted a right.
        PERFORM pgmq._add_default_partition(format('pgmq.%I', v_lane)::regclass);
        EXECUTE format('ALTER TABLE pgmq.%I ENABLE ROW LEVEL SECURITY', v_lane);
        EXECUTE format('GRANT SELECT ON pgmq.%I TO pg_monitor', v_lane);
        EXECUTE format(
            'CREATE POLICY monitor ON pgmq.%I FOR SELECT TO pg_monitor USING (true)', v_lane
        );
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._create_stream_tables(text) IS
'Create the table of a stream, and the one of its groups'' lanes, unless they are there.';

CREATE OR REPLACE FUNCTION pgmq._start_stream(
    queue_name text,
    segment_interval text,
    retention_interval text
)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
    v_is_ids CONSTANT boolean := pgmq._is_id_interval(segment_interval);
    v_relation CONSTANT regclass := pgmq._queue_table(queue_name);
    -- A segment that ends at a time has ids to spare.
    v_span CONSTANT text := CASE WHEN v_is_ids THEN segment_interval ELSE '1000000000' END;
    v_premake CONSTANT integer := CASE WHEN v_is_ids THEN 4 ELSE 1 END;
BEGIN
    INSERT INTO pgmq.partitioning (
        queue_name, is_archive, partition_interval, segment_interval, retention_interval, premake
    )
    VALUES (
        _start_stream.queue_name, false, v_span, CASE WHEN NOT v_is_ids THEN segment_interval END,
        _start_stream.retention_interval, v_premake
    );
    INSERT INTO pgmq.stream_segment (queue_name, first_id, began_at)
    VALUES (_start_stream.queue_name, 0, clock_timestamp());
    PERFORM pgmq._add_default_partition(v_relation);
    PERFORM pgmq._add_first_partitions(v_relation, v_span, v_premake);
END
$$;
COMMENT ON FUNCTION pgmq._start_stream(text, text, text) IS
'Store how a new stream is divided into segments and how long they are kept, and create the first.';
