CREATE OR REPLACE FUNCTION pgmq.commit(
    stream_name text,
    group_name text,
    lane integer,
    epoch bigint,
    up_to bigint DEFAULT null
)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_is_done boolean;
BEGIN
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_reads_committed();
    END IF;
    EXECUTE pg_catalog.format(
        'SELECT pgmq.%I($1, $2, $3, $4)', pgmq._compiled('commit', stream_name)
    ) INTO v_is_done USING group_name, lane, epoch, up_to;
    RETURN v_is_done;
END
$$;
COMMENT ON FUNCTION pgmq.commit(text, text, integer, bigint, bigint) IS
'Commit the batch that a group has leased: it will not be handed out again.

lane and epoch are from the rows of fetch. With up_to, only the messages up to that msg_id are
committed, and the lease of the rest goes on; null means all.

Returns false, and changes nothing, if the lease is lost: the batch was committed already, or given
back, or it took longer than vt and somebody else has it now, or seek has moved the group. It is
false, too, while another transaction that has fetched, extended or changed the lane stays open:
this waits 0.1 seconds for it. Roll back what was done for the batch, if it can be.

A lease that is over, but that nobody else has taken, can be committed. Raises an error for an
up_to that is not in the batch, an unknown group or lane, a role without grant_fetch, and in a
REPEATABLE READ or SERIALIZABLE transaction.';
