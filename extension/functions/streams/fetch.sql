CREATE OR REPLACE FUNCTION pgmq.fetch(stream_name text, group_name text, vt integer, qty integer)
RETURNS SETOF pgmq.stream_record
LANGUAGE plpgsql VOLATILE ROWS 100
AS $$
BEGIN
    IF vt IS NULL OR (qty BETWEEN 1 AND 100000) IS NOT TRUE OR pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_fetch(vt, qty);
    END IF;
    RETURN QUERY EXECUTE pg_catalog.format(
        'SELECT * FROM pgmq.%I($1, $2, $3, $4)', pgmq._compiled('fetch', stream_name)
    ) USING group_name, vt, qty, null::pgmq.stream_record;
END
$$;
COMMENT ON FUNCTION pgmq.fetch(text, text, integer, integer) IS
'Lease the next batch of a stream for a group: up to qty messages of one lane, in msg_id order.

For vt seconds nobody else gets messages of that lane. Then, or when the batch is given back, it is
handed out again. lane and epoch, the same in all rows, are the lease: give them to commit, release,
reject or extend_lease. delivery_ct is 1, and one more for each time that a batch with the message
has failed: was given back with an error, or not committed in time.

Only what is settled is handed out: a transaction that has sent and stays open holds back what comes
after it. So no rows mean that there is nothing new, that it is held back, or that the lanes with
messages are leased. A batch may be smaller than what is there.

Within one transaction, fetch, work and commit happen together or not at all. The lane is locked
until the transaction ends, whatever vt says, and other consumers take other lanes. (A lane of
several that has looked over more than 1,000 messages of others in vain is locked, too.)

qty is 1 to 100,000; a negative vt counts as 0. Raises an error for an unknown group, a role
without grant_fetch, and in a REPEATABLE READ or SERIALIZABLE transaction.';
