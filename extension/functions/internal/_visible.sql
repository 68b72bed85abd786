CREATE OR REPLACE FUNCTION pgmq._visible(
    queue_name text,
    as_of timestamptz,
    quantity bigint,
    condition jsonb
)
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_suffix CONSTANT text := pgmq._suffix(queue_name);
    v_ids bigint[];
BEGIN
    IF pgmq._is_ranked(queue_name) THEN
        EXECUTE format('SELECT pgmq.%I($1, $2, $3)', pgmq._compiled('ranked', queue_name))
        INTO v_ids
        USING as_of, quantity, condition;
        RETURN v_ids;
    END IF;
    EXECUTE format(
        $sql$
        SELECT ARRAY(
            SELECT u.msg_id
            FROM (
                (
                    SELECT q.msg_id
                    FROM pgmq.%1$I AS q
                    WHERE %2$s AND q.vt > q.enqueued_at AND q.vt <= $1
                        AND q.vt >= (SELECT $2)
                        AND ($5 IS NULL OR q.message @> $5)
                    ORDER BY q.vt
                    -- More than are wanted: they come by vt, but are chosen by msg_id.
                    LIMIT greatest(200, 2 * $4)
                )
                UNION ALL
                (
                    SELECT q.msg_id
                    FROM pgmq.%1$I AS q
                    WHERE %2$s AND q.vt <= q.enqueued_at AND q.msg_id >= (SELECT $3)
                        AND ($5 IS NULL OR q.message @> $5)
                    ORDER BY q.msg_id
                    LIMIT $4
                )
            ) AS u
            ORDER BY u.msg_id
            LIMIT $4
        )
        $sql$,
        pgmq.format_table_name(queue_name, 'q'), pgmq._live_range(queue_name)
    )
    INTO v_ids
    USING
        as_of,
        pgmq._parked_mark(format('pgmq.%I', concat('parked_mark_', v_suffix))::regclass),
        pgmq._id_mark(format('pgmq.%I', concat('ready_mark_', v_suffix))::regclass),
        quantity, condition;
    RETURN v_ids;
END
$$;
COMMENT ON FUNCTION pgmq._visible(text, timestamptz, bigint, jsonb) IS
'The visible messages with the smallest msg_id, in order, not locked; due and ready ones merged.

In a queue with priorities, those that come first by priority.

Of many due messages only those that fell due first take part. The template choose, which locks,
makes the same choice.';

CREATE OR REPLACE FUNCTION pgmq._message_columns(queue_name text)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pgmq._is_stream(pgmq._queue_table(queue_name)) THEN
        RETURN 'm.msg_id, 0, m.enqueued_at, null::timestamptz, m.enqueued_at, m.message, m.headers';
    END IF;
    RETURN 'm.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers';
END
$$;
COMMENT ON FUNCTION pgmq._message_columns(text) IS
'What makes a row m of a queue''s table a message_record; a stream knows nothing of reads.';
