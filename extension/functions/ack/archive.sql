CREATE OR REPLACE FUNCTION pgmq.archive(queue_name text, msg_id bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_done boolean;
BEGIN
    IF pgmq._pinned(queue_name) THEN
        RETURN pgmq._pinned_archive(queue_name, msg_id);
    END IF;
    EXECUTE pg_catalog.format('SELECT pgmq.%I($1)', pgmq._compiled('archive', queue_name))
    INTO v_done
    USING msg_id;
    RETURN v_done;
END
$$;
COMMENT ON FUNCTION pgmq.archive(text, bigint) IS
'Move a message to the archive, the table pgmq.a_<queue_name>; false when it is not in the queue.';

CREATE OR REPLACE FUNCTION pgmq.archive(queue_name text, msg_ids bigint[])
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 10
AS $$
BEGIN
    RETURN QUERY EXECUTE pg_catalog.format(
        'SELECT * FROM pgmq.%I($1, null)', pgmq._compiled('archivemany', queue_name)
    ) USING msg_ids;
END
$$;
COMMENT ON FUNCTION pgmq.archive(text, bigint[]) IS
'Move messages to the archive and return the msg_ids of those that were in the queue.';
