CREATE OR REPLACE FUNCTION pgmq.amend(
    queue_name text,
    msg_id bigint,
    msg jsonb DEFAULT null,
    headers jsonb DEFAULT null
)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_table regclass;
    v_changes text;
    v_count bigint;
BEGIN
    PERFORM pgmq._compiled('enqueue', queue_name);     -- an unknown queue is an error
    v_table := pgmq._queue_table(queue_name);
    IF pgmq._is_stream(v_table) THEN
        RAISE EXCEPTION 'messages of stream "%" never change', queue_name
            USING ERRCODE = 'feature_not_supported',
                HINT = 'Its groups may have read the message already: send another one behind it.';
    END IF;
    IF pg_catalog.jsonb_typeof(headers) <> 'object' THEN
        RAISE EXCEPTION 'new headers must be a JSON object, not %: %',
            pg_catalog.jsonb_typeof(headers), headers
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give {} to remove them.';
    END IF;
    PERFORM pgmq._may('UPDATE', queue_name, v_table);
    PERFORM pgmq._lock_table_first(queue_name);
    IF pgmq._keeps_snapshot() AND pgmq._partition_column(v_table::text) IS NOT NULL THEN
        PERFORM pgmq._check_snapshot(v_table);
    END IF;
    -- With another priority, a message comes to a place that a low-water mark may have passed. So it
    -- is parked there, as one that is returned: see _advance().
    v_changes := pg_catalog.concat_ws(
        ', ',
        CASE WHEN msg IS NOT NULL THEN 'message = $2' END,
        CASE WHEN headers IS NOT NULL THEN
            'headers = pgmq._amended(q.msg_id, q.headers, $3), vt = CASE'
            ' WHEN q.headers -> ''x-pgmq-priority''::text'
            ' IS DISTINCT FROM $3 -> ''x-pgmq-priority''::text'
            ' THEN pgmq._parked_until(q.vt, q.enqueued_at) ELSE q.vt END'
        END
    );
    -- What admit counts as leased is leased.
    EXECUTE pg_catalog.format(
        'UPDATE %s AS q SET %s WHERE q.msg_id = $1 AND q.msg_id = ANY (ARRAY('
        'SELECT q.msg_id FROM %s AS q WHERE q.msg_id = $1'
        ' AND (q.last_read_at IS NULL OR q.vt <= clock_timestamp() OR q.vt <= q.enqueued_at)'
        ' FOR UPDATE SKIP LOCKED))',
        v_table, coalesce(nullif(v_changes, ''), 'headers = q.headers'), v_table
    ) USING msg_id, msg, headers;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count > 0;
END
$$;
COMMENT ON FUNCTION pgmq.amend(text, bigint, jsonb, jsonb) IS
'Replace the payload or the headers of a message that nobody has leased; null leaves them.

Returns false when the message is leased, locked by another transaction, or not there. A message is
leased from a read until it is acknowledged or returned, or its vt has passed. (set_vt into the
future keeps it leased.) The call waits for nobody. Reads pass over the message until the
transaction ends.

msg_id, read_ct, enqueued_at and so the order stay, and the message is visible at the same time as
before. New headers replace all old ones but three, and hold at once, x-pgmq-ttl too. The headers
x-pgmq-group, x-pgmq-dedup-id and x-pgmq-dead-letter stay where they are left out. The first two
cannot be changed, for the order of a group and the key of deduplication rest on them.

Takes UPDATE on the columns that change, as a role from grant_consume has for headers, but not for
the payload. Raises undefined_table for an unknown queue, and an error for a stream and for headers
that are not a JSON object.';
