-- Acknowledge one batch and lease the next. (An argument that read refuses undoes the rest.)
CREATE OR REPLACE FUNCTION pgmq._ackread_$queue(
    seconds integer,
    quantity integer,
    msg_ids bigint[],
    read_cts integer[]
)
RETURNS SETOF pgmq."_message_$queue"
LANGUAGE plpgsql VOLATILE ROWS 10
AS $$
BEGIN
    -- The marks move only before this transaction has written anything.
    IF pgmq._chance(quantity, 32) THEN
        PERFORM pgmq._advance_$queue();
        --# if archive_retention or dedup_window
        PERFORM pgmq._upkeep_$queue(quantity);
        --# end
    END IF;
    PERFORM pgmq._ackbatch_$queue(msg_ids, read_cts);
    RETURN QUERY SELECT * FROM pgmq._read_$queue(seconds, quantity, null);
END
$$;
