CREATE OR REPLACE FUNCTION pgmq.disable_push(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_trigger text;
BEGIN
    PERFORM pgmq._compiled('receive', queue_name);     -- an unknown queue is an error
    FOREACH v_trigger IN ARRAY ARRAY[
        'pgmq_push_sent', 'pgmq_push_removed', 'pgmq_push_returned', 'pgmq_push_slot'
    ] LOOP
        PERFORM pgmq._drop_trigger(v_trigger, queue_name);
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq.disable_push(text) IS
'Undo enable_push: nothing is pushed any more, and the queue costs what it did before.

Open channels get nothing more. Waits for the transactions that use the queue.';
