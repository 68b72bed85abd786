DO $$
BEGIN
    IF to_regclass('pgmq.schedule') IS NULL THEN
        CREATE TABLE pgmq.schedule (
            schedule_name text PRIMARY KEY,
            queue_name text NOT NULL,
            cron text NOT NULL,             -- as it was given; it may be an interval
            fields text[],                  -- the five fields of cron; null: "every" counts
            every interval CHECK (every >= interval '1 second'),
            anchor timestamptz NOT NULL,    -- what the ticks of an interval are counted from
            timezone text NOT NULL,
            catch_up boolean NOT NULL,
            msg jsonb,
            headers jsonb,
            tick_at timestamptz,            -- the next tick; null: there is none
            next_at timestamptz,            -- when it is sent: later than that after an error, null
                                            -- while the schedule is paused
            last_at timestamptz,            -- the tick that was sent last, and its message
            last_msg_id bigint,
            errors integer NOT NULL DEFAULT 0,      -- in a row
            last_error text,
            paused_at timestamptz,          -- then next_at is null
            CHECK (num_nonnulls(fields, every) = 1)
        );
        CREATE INDEX schedule_queue_name_idx ON pgmq.schedule (queue_name);
        CREATE INDEX schedule_next_at_idx ON pgmq.schedule (lower(queue_name), next_at);
    END IF;
END
$$;
COMMENT ON TABLE pgmq.schedule IS
'The schedules, one row for each: which message is sent to which queue, and when.

pgmq.schedule() and pgmq.unschedule() write and compile them. A change of cron by hand has no
effect.';
