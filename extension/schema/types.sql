DO $$
BEGIN
    IF to_regtype('pgmq.message_record') IS NULL THEN
        CREATE TYPE pgmq.message_record AS (
            msg_id bigint,
            read_ct integer,
            enqueued_at timestamptz,
            last_read_at timestamptz,
            vt timestamptz,
            message jsonb,
            headers jsonb
        );
    END IF;
    IF to_regtype('pgmq.queue_message_record') IS NULL THEN
        CREATE TYPE pgmq.queue_message_record AS (
            queue_name text,
            msg_id bigint,
            read_ct integer,
            enqueued_at timestamptz,
            last_read_at timestamptz,
            vt timestamptz,
            message jsonb,
            headers jsonb
        );
    END IF;
    IF to_regtype('pgmq.queue_record') IS NULL THEN
        CREATE TYPE pgmq.queue_record AS (
            queue_name varchar,
            is_partitioned boolean,
            is_unlogged boolean,
            created_at timestamptz
        );
    END IF;
    IF to_regtype('pgmq.stream_record') IS NULL THEN
        CREATE TYPE pgmq.stream_record AS (
            lane integer,
            epoch bigint,
            msg_id bigint,
            delivery_ct integer,
            enqueued_at timestamptz,
            message jsonb,
            headers jsonb
        );
    END IF;
    IF to_regtype('pgmq.stream_lane') IS NULL THEN
        CREATE TYPE pgmq.stream_lane AS (
            group_name text,
            lane integer,
            done bigint,
            leased bigint,
            vt timestamptz,
            epoch bigint,
            size integer,
            failures integer,
            pid integer,
            changed_at timestamptz,
            error text
        );
    END IF;
    IF to_regtype('pgmq.metrics_result') IS NULL THEN
        CREATE TYPE pgmq.metrics_result AS (
            queue_name text,
            queue_length bigint,
            newest_msg_age_sec integer,
            oldest_msg_age_sec integer,
            total_messages bigint,
            scrape_time timestamptz,
            queue_visible_length bigint,
            default_partition_length bigint
        );
    END IF;
END
$$;
COMMENT ON TYPE pgmq.message_record IS
'A message as it lies in a queue: read_ct is how often it was read, vt when it is visible next.';
COMMENT ON TYPE pgmq.queue_message_record IS 'A message, and the name of its queue.';
COMMENT ON TYPE pgmq.stream_record IS
'A message of a stream as a group has leased it: lane and epoch are the lease that it belongs to.';
COMMENT ON TYPE pgmq.stream_lane IS 'The newest state of a lane of a group: see the table of lanes.';
COMMENT ON TYPE pgmq.queue_record IS 'A row of pgmq.meta.';
COMMENT ON TYPE pgmq.metrics_result IS 'The metrics of a queue, from pgmq.metrics(): ages in seconds, null when the queue is empty.';
