CREATE OR REPLACE FUNCTION pgmq.list_schedules(queue_name text DEFAULT null)
RETURNS TABLE (
    name text,
    queue_name text,
    cron text,
    timezone text,
    catch_up boolean,
    next_at timestamptz,
    last_at timestamptz,
    last_msg_id bigint,
    errors integer,
    last_error text,
    paused_at timestamptz
)
LANGUAGE sql STABLE
AS $$
    SELECT
        s.schedule_name, s.queue_name, s.cron, s.timezone, s.catch_up, s.next_at, s.last_at,
        s.last_msg_id, s.errors, s.last_error, s.paused_at
    FROM pgmq.schedule AS s
    WHERE $1 IS NULL OR lower(s.queue_name) = lower($1)
    ORDER BY s.schedule_name
$$;
COMMENT ON FUNCTION pgmq.list_schedules(text) IS
'List the schedules of a queue (null: of all queues).

cron is as it was given: five fields, or an interval. next_at is when the next message is due. If
that is past, no call has come since, or the transaction of one has not ended. It is null while the
schedule is paused, since paused_at. last_at and last_msg_id are of the last message: the time it
was for, and its msg_id. errors says how many attempts have failed since, and last_error how.
Messages and headers are left out: roles that may create queues see them in pgmq.schedule.';
