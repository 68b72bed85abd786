CREATE OR REPLACE FUNCTION pgmq.requeue(
    queue_name text,
    msg_ids bigint[] DEFAULT null,
    since timestamptz DEFAULT null,
    until timestamptz DEFAULT null,
    qty integer DEFAULT null,
    conditional jsonb DEFAULT '{}',
    rate double precision DEFAULT null,
    keep boolean DEFAULT false
)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET jit = off
AS $$
DECLARE
    v_queue regclass;
    v_archive regclass;
    v_wanted text;
    v_taken text;
    v_count bigint;
BEGIN
    PERFORM pgmq._compiled('enqueue', queue_name);     -- an unknown queue is an error
    v_queue := pgmq._queue_table(queue_name);
    v_archive := pgmq._queue_table(queue_name, true);
    IF pgmq._is_stream(v_queue) THEN
        RAISE EXCEPTION 'stream "%" has no archive', queue_name
            USING ERRCODE = 'feature_not_supported',
                HINT = pg_catalog.format(
                    'Its messages stay in it: with SELECT pgmq.seek(%L, <group>, <place>) a group'
                    ' reads them again.', queue_name
                );
    END IF;
    v_wanted := pg_catalog.concat_ws(
        ' AND ',
        CASE WHEN msg_ids IS NOT NULL THEN 'a.msg_id = ANY ($1)' END,
        CASE WHEN since IS NOT NULL THEN 'a.archived_at >= $2' END,
        CASE WHEN until IS NOT NULL THEN 'a.archived_at < $3' END
    );
    IF v_wanted = '' THEN
        RAISE EXCEPTION 'neither msg_ids nor a time says what of queue "%" to requeue', queue_name
            USING ERRCODE = 'null_value_not_allowed',
                HINT = 'Give msg_ids, since or until; since => ''-infinity'' means all.';
    END IF;
    PERFORM pgmq._check_rate(rate);
    IF qty < 0 THEN
        PERFORM pgmq._check_read(0, qty);
    END IF;
    IF (pgmq._pause_of(queue_name)).sends THEN
        PERFORM pgmq._raise_paused(queue_name);
    END IF;
    PERFORM pgmq._may('INSERT', queue_name, v_queue);
    IF NOT pg_catalog.has_column_privilege(v_archive::oid, 'message'::text, 'SELECT'::text)
        OR NOT keep AND NOT has_table_privilege(v_archive::oid, 'DELETE'::text)
    THEN
        RAISE EXCEPTION 'permission denied for table %', pgmq.format_table_name(queue_name, 'a')
            USING ERRCODE = 'insufficient_privilege',
                HINT = pg_catalog.format(
                    'Its owner can SELECT pgmq.grant_requeue(%L, %L).', queue_name, current_user
                );
    END IF;
    PERFORM pgmq._lock_table_first(queue_name);
    IF pgmq._keeps_snapshot() AND pgmq._partition_column(v_archive::text) IS NOT NULL THEN
        PERFORM pgmq._check_snapshot(v_archive);
    END IF;
    v_taken := pg_catalog.format(
        'FROM %s AS a WHERE %s AND ($5 IS NULL OR a.message @> $5)'
        ' ORDER BY a.archived_at, a.msg_id LIMIT $4',
        v_archive, v_wanted
    );
    IF keep THEN
        v_taken := pg_catalog.concat(
            'SELECT a.msg_id, a.archived_at, a.message, a.headers ', v_taken
        );
    ELSE
        v_taken := pg_catalog.format(
            'DELETE FROM %s AS a'
            ' WHERE %s AND a.msg_id = ANY (ARRAY(SELECT a.msg_id %s FOR UPDATE SKIP LOCKED))'
            ' RETURNING a.msg_id, a.archived_at, a.message, a.headers',
            v_archive, v_wanted, v_taken
        );
    END IF;
    -- Not by send, which could take a message for a duplicate. As in send, _paced() reads the clock
    -- under the table's lock.
    EXECUTE pg_catalog.format(
        $sql$
        WITH taken AS (%s)
        INSERT INTO %s (enqueued_at, vt, message, headers)
        SELECT
            now(),
            pgmq._paced($6, row_number() OVER (ORDER BY t.msg_id) - 1, $7),
            t.message,
            pgmq._requeued(t.headers, t.msg_id, t.archived_at)
        FROM taken AS t
        ORDER BY t.msg_id
        $sql$,
        v_taken, v_queue
    ) USING
        msg_ids, since, until, qty, nullif(conditional, '{}'::jsonb), clock_timestamp(), rate;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION pgmq.requeue(text, bigint[], timestamptz, timestamptz, integer, jsonb, double precision, boolean) IS
'Take messages out of the archive, put them into the queue again, and return how many.

msg_ids, since and until say which: the messages with these ids, and those that were archived from
since on and before until. What is null does not matter, but one of them must be given. With
conditional, only messages that contain that JSON (operator @>) are taken. Of more than qty
messages, those that were archived first are, so that the next call goes on after them. Null qty
means all.

The messages start anew, in the order of their msg_ids: a new msg_id, read_ct 0, enqueued now. They
keep payload and headers, without x-pgmq-dead-letter and x-pgmq-error. The header x-pgmq-requeued
has the msg_id and the archived_at that they had. With keep, the archive keeps the messages, and
these are copies. With a rate, so many messages a second: all are in the queue at once, and each is
delayed until it is its turn.

They are no duplicates: they neither need nor take a key of deduplication. Messages that another
transaction holds are skipped, as are msg_ids that are not in the archive.

Takes what grant_requeue gives: SELECT and, without keep, UPDATE of a column and DELETE on the
archive, and INSERT on the queue. Raises undefined_table for an unknown queue, and an error for a
stream, which has no archive: see seek().';
