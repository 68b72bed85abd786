CREATE OR REPLACE FUNCTION pgmq.move(queue_name text, msg_id bigint, to_queue text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM pgmq._check_other_queue(queue_name, to_queue);
    RETURN pgmq._move(queue_name, ARRAY[msg_id], to_queue, false, null, 0, null);
END
$$;
COMMENT ON FUNCTION pgmq.move(text, bigint, text) IS
'Move a message, leased or not, to another queue, and return its new msg_id there.

Returns null when there is no such message. Payload and headers stay as they are, and read_ct begins
at 0 again. A message that is delayed and was never read stays delayed; every other message is
visible when the transaction commits. The call waits for a transaction that holds the message.

To a stream a message is appended, but not from one, and not before its delay has run out.

Raises undefined_table for an unknown queue, and an error when both are the same queue.';
