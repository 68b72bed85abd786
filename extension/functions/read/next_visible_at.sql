CREATE OR REPLACE FUNCTION pgmq.next_visible_at(queue_name text)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM pgmq._compiled('receive', queue_name);     -- an unknown queue is an error
    RETURN pgmq._next(queue_name, 'infinity'::timestamptz);
END
$$;
COMMENT ON FUNCTION pgmq.next_visible_at(text) IS
'Return when the next message may be read; null when the queue is empty or paused.

If a message is visible now, the time is not in the future. Otherwise the next delayed, returned or
leased message falls due at that time, or a schedule sends one. A message that was received too
often counts, too: when its lease or its delay ends, a read has to make it a dead letter. Under a
rate_limit the time is no earlier than when the rate lets the next message through. The answer comes
from the end of an index. While a snapshot that somebody holds keeps very many consumed messages,
the time can be too early: look again then.';
