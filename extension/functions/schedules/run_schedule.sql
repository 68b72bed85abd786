CREATE OR REPLACE FUNCTION pgmq.run_schedule(name text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_schedule pgmq.schedule;
BEGIN
    SELECT s.* INTO v_schedule FROM pgmq.schedule AS s WHERE s.schedule_name = run_schedule.name;
    IF NOT FOUND THEN
        PERFORM pgmq._raise_no_schedule(name);
    END IF;
    RETURN pgmq._send_tick(v_schedule, clock_timestamp());
END
$$;
COMMENT ON FUNCTION pgmq.run_schedule(text) IS
'Send the message of a schedule now, beside those that are due, and return its msg_id.

It does so while the schedule is paused, too. Needs the right to see the message, which owners of
queues have, and to send. Raises undefined_object for an unknown schedule.';
