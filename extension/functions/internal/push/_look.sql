-- Notes that a transaction has looked in vain. The session's last value of a sequence, which no
-- other session can read or set, holds the time (in ms), and behind it a hash of the transaction
-- and the queue. The last bit says that there was no message. A setting holds the same, since that
-- is reset when the transaction rolls back to a savepoint.
CREATE OR REPLACE FUNCTION pgmq._look(queue_name text, is_empty boolean)
RETURNS bigint
LANGUAGE sql VOLATILE
AS $$
    SELECT
        ((extract(epoch FROM clock_timestamp()) * '1000')::bigint & '2147483647'::bigint) << 32
        | (
            pg_catalog.hashtextextended(queue_name, pg_current_xact_id()::text::bigint)
            & '4294967294'::bigint
        )
        | is_empty::integer::bigint
$$;
COMMENT ON FUNCTION pgmq._look(text, boolean) IS
'A look of this transaction at a queue, now, as the sequence holds it.';

CREATE OR REPLACE FUNCTION pgmq._note_look(queue_name text, is_empty boolean)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM pg_catalog.set_config(
        'pgmq.push_look',
        pg_catalog.setval('pgmq.channel_look'::regclass, pgmq._look(queue_name, is_empty))::text,
        true
    );
END
$$;
COMMENT ON FUNCTION pgmq._note_look(text, boolean) IS
'Note that this transaction has found nothing to push, or no slot.';

CREATE OR REPLACE FUNCTION pgmq._has_just_looked(queue_name text, was_empty boolean)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_now CONSTANT bigint := pgmq._look(queue_name, false);
    v_last bigint;
BEGIN
    v_last := pg_catalog.currval('pgmq.channel_look'::regclass);
    RETURN (v_now & '4294967294'::bigint) = (v_last & '4294967294'::bigint)
        AND (v_now >> 32) - (v_last >> 32) BETWEEN '0'::bigint AND '10'::bigint
        AND ((v_last & '1'::bigint) = '1'::bigint OR NOT was_empty)
        AND v_last::text = pg_catalog.current_setting('pgmq.push_look', true);
EXCEPTION
    WHEN object_not_in_prerequisite_state THEN      -- this session has noted nothing yet
        RETURN false;
END
$$;
COMMENT ON FUNCTION pgmq._has_just_looked(text, boolean) IS
'Whether this transaction has found nothing to push within the last hundredth of a second.

If asked so, only if the reason was that there was no message.';
