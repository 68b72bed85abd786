CREATE OR REPLACE FUNCTION pgmq.ack_and_read(
    queue_name text,
    vt integer,
    qty integer,
    msg_ids bigint[],
    read_cts integer[]
)
RETURNS SETOF pgmq.message_record
LANGUAGE plpgsql VOLATILE ROWS 10
AS $$
BEGIN
    qty := coalesce(qty, 2147483647);
    -- The marks can only be moved before this transaction has written anything.
    IF pgmq._may_look_after(qty) THEN
        PERFORM pgmq._look_after(queue_name, qty);
    END IF;
    PERFORM pgmq._check_leases(msg_ids, read_cts);
    IF pgmq._pinned(queue_name) THEN
        PERFORM pgmq._pinned_removemany(queue_name, msg_ids, coalesce(read_cts, '{}'));
    ELSE
        EXECUTE pg_catalog.format(
            'SELECT FROM pgmq.%I($1, $2)', pgmq._compiled('removemany', queue_name)
        ) USING msg_ids, coalesce(read_cts, '{}');
    END IF;
    IF vt IS NULL OR qty < 0 THEN
        PERFORM pgmq._check_read(vt, qty);
    END IF;
    IF pgmq._pinned(queue_name) THEN
        RETURN QUERY SELECT * FROM pgmq._pinned_receive(queue_name, vt, qty);
    ELSE
        RETURN QUERY EXECUTE pg_catalog.format(
            'SELECT * FROM pgmq.%I($1, $2, $3)', pgmq._compiled('receive', queue_name)
        ) USING vt, qty, null::pgmq.message_record;
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq.ack_and_read(text, integer, integer, bigint[], integer[]) IS
'Acknowledge the last batch and lease the next, in one statement and one commit.

Null or empty arrays acknowledge nothing. vt and qty are as in read. A stale lease is skipped
without notice: if you must know of it, call ack and read instead.';
