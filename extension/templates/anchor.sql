-- Never called. It returns what is a member of the extension: while a queue has this function, DROP
-- EXTENSION is refused without CASCADE.
CREATE OR REPLACE FUNCTION pgmq._anchor_$queue()
RETURNS pgmq.queue_record
LANGUAGE sql STABLE
AS $$
    SELECT null::pgmq.queue_record
$$;
