CREATE OR REPLACE FUNCTION pgmq.peek(
    queue_name text,
    qty integer DEFAULT 1,
    conditional jsonb DEFAULT '{}'
)
RETURNS SETOF pgmq.message_record
LANGUAGE plpgsql VOLATILE ROWS 10
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_name text;
    v_table regclass;
    v_policy pgmq.policy;
    v_has_dead boolean;
    v_quantity CONSTANT integer := coalesce(qty, 2147483647);
    v_now CONSTANT timestamptz := clock_timestamp();
    v_key name;
    v_first text;
    v_last text;
    v_ids bigint[];
BEGIN
    PERFORM pgmq._compiled('enqueue', queue_name);     -- an unknown queue is an error
    v_name := pgmq.format_table_name(queue_name, 'q');
    v_table := pgmq._queue_table(queue_name);
    v_policy := pgmq._policy_of(queue_name);
    v_has_dead := coalesce(v_policy.max_receives::text, v_policy.message_ttl::text) IS NOT NULL;
    IF NOT has_column_privilege(v_table, 'message', 'SELECT') THEN
        PERFORM pgmq._may('SELECT', queue_name, v_table);
    END IF;
    PERFORM pgmq._check_read(0, v_quantity);
    PERFORM pgmq._lock_table_first(queue_name);
    IF (SELECT c.relkind = 'p' FROM pg_class AS c WHERE c.oid = v_table) THEN
        IF pgmq._keeps_snapshot() THEN
            PERFORM pgmq._check_snapshot(v_table);
        END IF;
        SELECT b.key, b.first, b.last INTO v_key, v_first, v_last
        FROM pgmq._bounds(v_table, pgmq._suffix(queue_name)) AS b;
    END IF;
    IF pgmq._is_stream(v_table) THEN
        RETURN QUERY EXECUTE format(
            'SELECT %s FROM pgmq.%I AS m WHERE m.message @> $1 OR $1 IS NULL'
            ' ORDER BY m.msg_id LIMIT $2',
            pgmq._message_columns(queue_name), v_name
        ) USING nullif(conditional, '{}'), v_quantity;
        RETURN;
    END IF;
    -- A read would pass over expired messages and those that were received too often. With such a
    -- policy, some more messages are looked at in their place.
    v_ids := pgmq._visible(
        queue_name, v_now, v_quantity + CASE WHEN v_has_dead THEN 1000::bigint ELSE 0 END,
        nullif(conditional, '{}')
    );
    RETURN QUERY EXECUTE concat(
        format('SELECT %s', pgmq._message_columns(queue_name)),
        format(' FROM pgmq.%I AS m WHERE m.msg_id = ANY ($1)', v_name),
        CASE WHEN v_key = 'enqueued_at' THEN format(
            ' AND m.enqueued_at BETWEEN %s AND %s', v_first, v_last
        ) END,
        CASE WHEN v_has_dead THEN
            ' AND NOT pgmq._is_dead(m.read_ct, m.enqueued_at, m.headers, $2, $3, $4)'
        END,
        ' ORDER BY ',
        CASE WHEN v_policy.priorities
            THEN 'pgmq._precedence(m.headers, m.enqueued_at, $6), '
        END,
        'm.msg_id LIMIT $5'
    )
    USING
        v_ids, v_now, v_policy.max_receives, v_policy.message_ttl, v_quantity,
        v_policy.priority_ageing;
END
$$;
COMMENT ON FUNCTION pgmq.peek(text, integer, jsonb) IS
'Return the messages that a read would return, without leasing or locking them.

They come in the same order, and read_ct stays as it is. Null qty means all. Of a stream, these are
the first messages that it still has, no matter which groups have read them.';
