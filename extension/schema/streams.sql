DO $$
BEGIN
    IF to_regclass('pgmq.stream_group') IS NULL THEN
        CREATE TABLE pgmq.stream_group (
            queue_name text NOT NULL,
            group_name text COLLATE "C" NOT NULL,
            lanes integer NOT NULL,
            max_deliveries integer,         -- null: no limit
            dead_letter_queue text,
            keep_unread boolean NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (queue_name, group_name)
        );
    END IF;
    IF to_regclass('pgmq.stream_segment') IS NULL THEN
        CREATE TABLE pgmq.stream_segment (
            queue_name text NOT NULL,
            first_id bigint NOT NULL,
            began_at timestamptz NOT NULL,
            -- Null until the segment has ended. Then every id up to last_id had been drawn by
            -- ended_at, and no other one of the segment ever will be.
            last_id bigint,
            ended_at timestamptz,
            PRIMARY KEY (queue_name, first_id)
        );
    END IF;
END
$$;
COMMENT ON TABLE pgmq.stream_group IS 'The groups of readers of each stream, and their options.';
COMMENT ON TABLE pgmq.stream_segment IS
'The segments of each stream that have messages, or had some: from which msg_id to which, and when.';
