CREATE OR REPLACE FUNCTION pgmq.pin(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_most CONSTANT integer := 32;
BEGIN
    PERFORM pgmq._compiled('receive', queue_name);     -- an unknown queue is an error
    PERFORM pgmq._lock_queue(queue_name);
    PERFORM pgmq._lock_pinned(queue_name);
    INSERT INTO pgmq.pinned (queue_name)
    SELECT m.queue_name FROM pgmq.meta AS m WHERE lower(m.queue_name) = lower(pin.queue_name)
    ON CONFLICT DO NOTHING;
    IF (SELECT count(*) FROM pgmq.pinned) > v_most THEN
        RAISE EXCEPTION 'queue "%" cannot be pinned: % others are', queue_name, v_most
            USING ERRCODE = 'configuration_limit_exceeded',
                HINT = 'SELECT * FROM pgmq.pinned lists them. Unpin one first, with pgmq.unpin().';
    END IF;
    PERFORM pgmq._write_pinned();
END
$$;
COMMENT ON FUNCTION pgmq.pin(text) IS
'Make single calls of a queue about a fifth cheaper: its functions are called by name.

Up to 32 queues can be pinned: choose busy ones that stay. Nothing else changes. When a queue is
pinned or unpinned, each session compiles a few functions anew. For a queue that is pinned already
this does nothing.

A restore does not bring the pins: call pin again after it. Only the owner of pgmq may pin. Raises
undefined_table for an unknown queue.';
