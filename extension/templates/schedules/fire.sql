--# for schedules
-- Send the messages that are due by the queue's schedules, and return how many: _send_due() does
-- this and says how. While sends are paused, all wait.
--
-- SECURITY DEFINER: a reader has no right to send, nor to the schedules. It says nothing about what
-- is sent.
CREATE OR REPLACE FUNCTION pgmq._fire_$queue()
RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = 100      -- no read waits for longer
AS $$
BEGIN
    --# if paused_sends
    RETURN 0;
    --# else
    RETURN pgmq._send_due(queue_name$policy, 'pgmq.q_$queue', 'pgmq.tick_due_$queue');
    --# end
END
$$;
