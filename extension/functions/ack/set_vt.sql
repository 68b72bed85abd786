CREATE OR REPLACE FUNCTION pgmq.set_vt(queue_name text, msg_id bigint, vt integer)
RETURNS SETOF pgmq.message_record
LANGUAGE plpgsql VOLATILE ROWS 10
AS $$
BEGIN
    IF pgmq._pinned(queue_name) THEN
        RETURN QUERY SELECT * FROM pgmq._pinned_park(
            queue_name, ARRAY[msg_id], pgmq._visible_at(vt), false
        );
    ELSE
        RETURN QUERY EXECUTE pg_catalog.format(
            'SELECT * FROM pgmq.%I($1, $2, false, $3)', pgmq._compiled('park', queue_name)
        ) USING ARRAY[msg_id], pgmq._visible_at(vt), null::pgmq.message_record;
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq.set_vt(text, bigint, integer) IS
'Make a message visible vt seconds from now, leased or not; zero or less means now.

Returns the message, or no row when it is not there. read_ct stays as it is.';

CREATE OR REPLACE FUNCTION pgmq.set_vt(queue_name text, msg_id bigint, vt timestamptz)
RETURNS SETOF pgmq.message_record
LANGUAGE plpgsql VOLATILE ROWS 10
AS $$
BEGIN
    IF pgmq._pinned(queue_name) THEN
        RETURN QUERY SELECT * FROM pgmq._pinned_park(
            queue_name, ARRAY[msg_id], pgmq._visible_at(vt), false
        );
    ELSE
        RETURN QUERY EXECUTE pg_catalog.format(
            'SELECT * FROM pgmq.%I($1, $2, false, $3)', pgmq._compiled('park', queue_name)
        ) USING ARRAY[msg_id], pgmq._visible_at(vt), null::pgmq.message_record;
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq.set_vt(text, bigint, timestamptz) IS
'Make a message visible at a time, leased or not; a time that is past means now.

Returns the message, or no row when it is not there. read_ct stays as it is.';

CREATE OR REPLACE FUNCTION pgmq.set_vt(queue_name text, msg_ids bigint[], vt integer)
RETURNS SETOF pgmq.message_record
LANGUAGE plpgsql VOLATILE ROWS 10
AS $$
BEGIN
    IF pgmq._pinned(queue_name) THEN
        RETURN QUERY SELECT * FROM pgmq._pinned_park(
            queue_name, msg_ids, pgmq._visible_at(vt), false
        );
    ELSE
        RETURN QUERY EXECUTE pg_catalog.format(
            'SELECT * FROM pgmq.%I($1, $2, false, $3)', pgmq._compiled('park', queue_name)
        ) USING msg_ids, pgmq._visible_at(vt), null::pgmq.message_record;
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq.set_vt(text, bigint[], integer) IS
'Make messages visible vt seconds from now; return those that are there, in msg_id order.';

CREATE OR REPLACE FUNCTION pgmq.set_vt(queue_name text, msg_ids bigint[], vt timestamptz)
RETURNS SETOF pgmq.message_record
LANGUAGE plpgsql VOLATILE ROWS 10
AS $$
BEGIN
    IF pgmq._pinned(queue_name) THEN
        RETURN QUERY SELECT * FROM pgmq._pinned_park(
            queue_name, msg_ids, pgmq._visible_at(vt), false
        );
    ELSE
        RETURN QUERY EXECUTE pg_catalog.format(
            'SELECT * FROM pgmq.%I($1, $2, false, $3)', pgmq._compiled('park', queue_name)
        ) USING msg_ids, pgmq._visible_at(vt), null::pgmq.message_record;
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq.set_vt(text, bigint[], timestamptz) IS
'Make messages visible at a time; return those that are there, in msg_id order.';
