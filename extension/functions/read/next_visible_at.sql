CREATE OR REPLACE FUNCTION pgmq.next_visible_at(queue_name text)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM pgmq._compiled('read', queue_name);     -- an unknown queue is an error
    RETURN pgmq._next(queue_name, 'infinity'::timestamptz);
END
$$;
COMMENT ON FUNCTION pgmq.next_visible_at(text) IS
'When the next message is visible; null when the queue is empty.

A time that is not in the future when one is visible now, else when the next delayed, returned or leased one falls due. Found at the end of an index. Where a held snapshot keeps very many consumed messages, it may be an earlier time, to look again.';
