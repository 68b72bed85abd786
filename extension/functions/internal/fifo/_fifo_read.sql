-- Reading messages of FIFO groups. A message's group is its header x-pgmq-group. A group's head is
-- its message with the smallest msg_id. _fifo_claim() alone guarantees the order of a group. The
-- steps before it only look for candidates, without locks, and may miss some.
--
-- A queue with a FIFO index has compiled functions (templates/fifo/), which look at its table;
-- "compiled" is the end of their names. It is null for a queue without a valid index. There the
-- oldest messages are read until enough are found among them, by statements that are planned each
-- time.
CREATE OR REPLACE FUNCTION pgmq._fifo_read(
    queue_name text,
    seconds integer,
    quantity integer,
    kind text,
    group_name text
)
RETURNS SETOF pgmq.message_record
LANGUAGE plpgsql VOLATILE ROWS 10
AS $$
DECLARE
    v_park CONSTANT text := pgmq._compiled('park', queue_name);
    v_admit CONSTANT text := pgmq._enabled('admit', queue_name);
    v_path CONSTANT text := pg_catalog.current_setting('search_path'::text);
    v_ids bigint[];
BEGIN
    IF seconds IS NULL OR quantity < 0 THEN
        PERFORM pgmq._check_read(seconds, quantity);
    END IF;
    IF pgmq._enabled('fire', queue_name) IS NOT NULL THEN
        PERFORM pgmq._send_if_due(queue_name);
    END IF;
    IF v_admit IS NULL THEN
        v_ids := pgmq._fifo_choose(queue_name, quantity, kind, group_name);
    ELSE
        PERFORM pgmq._may('UPDATE', queue_name, pgmq._queue_table(queue_name));
        EXECUTE pg_catalog.format('SELECT pgmq.%I($1, null, $2, $3)', v_admit)
        INTO v_ids
        USING quantity, kind, group_name;
    END IF;
    -- Triggers on dead letters may have changed the search_path.
    IF pg_catalog.current_setting('search_path'::text) <> v_path THEN
        PERFORM pgmq._restore_search_path(v_path);
    END IF;
    IF pg_catalog.cardinality(v_ids) = 0 THEN
        RETURN;
    END IF;
    -- Not under a search_path of this function: users' triggers are fired.
    RETURN QUERY EXECUTE pg_catalog.format(
        CASE
            WHEN kind IN ('rr'::text, 'fair'::text) THEN
                'SELECT p.* FROM pgmq.%I($1, $2, true, $3) AS p'
                ' ORDER BY pg_catalog.array_position($1, p.msg_id)'
            ELSE 'SELECT * FROM pgmq.%I($1, $2, true, $3)'
        END,
        v_park
    ) USING
        v_ids, clock_timestamp() + pg_catalog.make_interval(secs => seconds),
        null::pgmq.message_record;
END
$$;
COMMENT ON FUNCTION pgmq._fifo_read(text, integer, integer, text, text) IS
'Lease messages of FIFO groups, for read_grouped and its variants.

The kind says of which groups: the oldest free ones, one after the other (grouped), the same in
rounds (rr), one message of each (head), or the group of that name (group). Or messages of any
groups in turn, without the order of FIFO groups (fair).';
