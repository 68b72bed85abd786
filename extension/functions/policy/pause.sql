CREATE OR REPLACE FUNCTION pgmq.pause(
    queue_name text,
    reads boolean DEFAULT true,
    sends boolean DEFAULT false
)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF reads IS NULL OR sends IS NULL OR NOT (reads OR sends) THEN
        RAISE EXCEPTION 'a pause is of reads, of sends, or of both: % and %',
            coalesce(reads::text, 'null'), coalesce(sends::text, 'null')
            USING ERRCODE = 'invalid_parameter_value',
                HINT = format('To end a pause, SELECT pgmq.resume(%L).', queue_name);
    END IF;
    PERFORM pgmq._set_pause(queue_name, reads, sends);
END
$$;
COMMENT ON FUNCTION pgmq.pause(text, boolean, boolean) IS
'Pause a queue or a stream until resume: its reads give nothing, or its sends fail, or both.

- reads: read, pop, the calls by group, fetch and push channels hand out nothing. Consumers that
  await sleep on. Messages that are leased can be acknowledged, returned, extended, deleted and
  archived; peek and get show what there is.
- sends: send, send_batch and send_once, topics and exchanges that lead to the queue, and move,
  redrive and requeue into it raise object_not_in_prerequisite_state. Dead letters of other queues
  still come in, and so does a plain INSERT.

This holds for transactions that begin after the commit. One that has begun before may go on as
before until it ends. The call waits for nobody who uses the queue.

A second call changes what is paused, and keeps the time of the first, which list_paused shows. Only
the owner of the queue may call this.';
