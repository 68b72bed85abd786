CREATE OR REPLACE FUNCTION pgmq._origin(headers jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT lower(headers #>> '{x-pgmq-dead-letter,queue}'::text[])
$$;
COMMENT ON FUNCTION pgmq._origin(jsonb) IS
'The queue that a dead letter came from, in lower case; null where its headers name none.';

CREATE OR REPLACE FUNCTION pgmq._can_return(origin text, dead_letter_queue text)
RETURNS boolean
LANGUAGE sql STABLE
AS $$
    -- The name comes from a message, so it may be anything, and must not raise an error.
    SELECT to_regproc('pgmq.' || quote_ident(pgmq._function_name('enqueue', origin))) IS NOT NULL
        AND origin <> lower(dead_letter_queue)
        -- Appended again, it would come to all groups of a stream.
        AND NOT pgmq._is_stream(to_regclass('pgmq.' || quote_ident('q_' || origin)))
        AND (NOT pgmq._can_be_used() OR pgmq._is_safe_to_touch(
            to_regclass('pgmq.' || quote_ident('q_' || origin))
        ))
$$;
COMMENT ON FUNCTION pgmq._can_return(text, text) IS
'Whether a dead letter''s queue is there, another one, no stream, and safe for the caller.';

CREATE OR REPLACE FUNCTION pgmq._check_other_queue(queue_name text, to_queue text)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    -- Unknown queues are errors.
    PERFORM pgmq._compiled('receive', queue_name), pgmq._compiled('enqueue', to_queue);
    IF pgmq.format_table_name(queue_name, 'q') = pgmq.format_table_name(to_queue, 'q') THEN
        RAISE EXCEPTION 'messages of queue "%" cannot be moved to itself', queue_name
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'Name another queue; pgmq.set_vt() makes a message visible where it is.';
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._check_other_queue(text, text) IS
'Raise an error unless these are two queues.';

CREATE OR REPLACE FUNCTION pgmq._revived(headers jsonb)
RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN jsonb_typeof(headers) = 'object'
            THEN nullif(headers - '{x-pgmq-dead-letter,x-pgmq-error}'::text[], '{}')
        ELSE headers
    END
$$;
COMMENT ON FUNCTION pgmq._revived(jsonb) IS 'Headers without those of a dead letter.';

CREATE OR REPLACE FUNCTION pgmq._requeued(headers jsonb, msg_id bigint, archived_at timestamptz)
RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT pgmq._headers(pgmq._revived(headers)) || pg_catalog.jsonb_build_object(
        'x-pgmq-requeued',
        pg_catalog.jsonb_build_object('msg_id', msg_id, 'archived_at', archived_at)
    )
$$;
COMMENT ON FUNCTION pgmq._requeued(jsonb, bigint, timestamptz) IS
'The headers of a message that comes from the archive: its own, and x-pgmq-requeued.';

CREATE OR REPLACE FUNCTION pgmq._append(
    queue_name text,
    msg_ids bigint[],
    to_stream text,
    revived boolean
)
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 10
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_is_delayed boolean;
BEGIN
    EXECUTE pg_catalog.format(
        'SELECT EXISTS (SELECT FROM pgmq.%I AS m'
        ' WHERE m.msg_id = ANY ($1) AND m.read_ct = 0 AND m.vt > clock_timestamp())',
        pgmq.format_table_name(queue_name, 'q')
    ) INTO v_is_delayed USING msg_ids;
    IF v_is_delayed THEN
        PERFORM pgmq._refuse_delay(to_stream);
    END IF;
    RETURN QUERY EXECUTE pg_catalog.format(
        $sql$
        WITH removed AS (
            DELETE FROM pgmq.%I AS m
            WHERE m.msg_id = ANY ($1)
            RETURNING m.msg_id, m.message, m.headers
        )
        INSERT INTO pgmq.%I (enqueued_at, message, headers)
        SELECT now(), r.message, CASE WHEN $2 THEN pgmq._revived(r.headers) ELSE r.headers END
        FROM removed AS r
        ORDER BY r.msg_id
        RETURNING msg_id
        $sql$,
        pgmq.format_table_name(queue_name, 'q'), pgmq.format_table_name(to_stream, 'q')
    ) USING msg_ids, revived;
END
$$;
COMMENT ON FUNCTION pgmq._append(text, bigint[], text, boolean) IS
'Move messages to a stream: see _move(). A message whose delay has not run out is an error.';

CREATE OR REPLACE FUNCTION pgmq._check_rate(rate double precision)
RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    IF NOT (rate > '0' AND rate < 'infinity') THEN
        RAISE EXCEPTION 'rate must be above 0: %', rate
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'It is the number of messages a second; null means all at once.';
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._check_rate(double precision) IS
'Raise an error for a rate that no message would ever come at.';

CREATE OR REPLACE FUNCTION pgmq._paced(began timestamptz, place bigint, rate double precision)
RETURNS timestamptz
LANGUAGE sql VOLATILE
AS $$
    SELECT CASE
        WHEN rate IS NULL THEN now()
        ELSE pgmq._visible_from(began + pg_catalog.make_interval(
            secs => place::double precision / rate
        ))
    END
$$;
COMMENT ON FUNCTION pgmq._paced(timestamptz, bigint, double precision) IS
'The vt of the message at a place, from 0, among those that are to be visible at a rate.';

CREATE OR REPLACE FUNCTION pgmq._move(
    queue_name text,
    msg_ids bigint[],
    to_queue text,
    revived boolean,
    began timestamptz,
    place bigint,
    rate double precision
)
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 10
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    IF (pgmq._pause_of(to_queue)).sends THEN
        PERFORM pgmq._raise_paused(to_queue);
    END IF;
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot(
            pg_catalog.format('pgmq.%I', pgmq.format_table_name(queue_name, 'q'))::regclass
        );
    END IF;
    IF pgmq._is_stream(pgmq._queue_table(to_queue)) THEN
        RETURN QUERY SELECT * FROM pgmq._append(queue_name, msg_ids, to_queue, revived);
        RETURN;
    END IF;
    -- Not by send, which could take the message for a duplicate. As in send, the clock is read
    -- under the table's lock.
    RETURN QUERY EXECUTE pg_catalog.format(
        $sql$
        WITH removed AS (
            DELETE FROM pgmq.%I AS m
            WHERE m.msg_id = ANY ($1)
            RETURNING m.msg_id, m.read_ct, m.vt, m.message, m.headers
        )
        INSERT INTO pgmq.%I (enqueued_at, vt, message, headers)
        SELECT
            now(),
            CASE
                WHEN r.read_ct = 0 AND r.vt > clock_timestamp() THEN r.vt
                ELSE pgmq._paced($3, $4 + row_number() OVER (ORDER BY r.msg_id), $5)
            END,
            r.message,
            CASE WHEN $2 THEN pgmq._revived(r.headers) ELSE r.headers END
        FROM removed AS r
        ORDER BY r.msg_id
        RETURNING msg_id
        $sql$,
        pgmq.format_table_name(queue_name, 'q'), pgmq.format_table_name(to_queue, 'q')
    ) USING msg_ids, revived, began, place - 1, rate;
END
$$;
COMMENT ON FUNCTION pgmq._move(text, bigint[], text, boolean, timestamptz, bigint, double precision) IS
'Move messages to another queue, in msg_id order, and return their new msg_ids.

There they count as never read, and are visible unless a delay has not run out. To revive dead
letters, their headers of a dead letter are removed. With a rate, so many are visible a second, from
when the call began; these are at a place among others.';
