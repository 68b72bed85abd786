-- A pause is compiled into the queue, so that other queues need not look for one. To replace a
-- function waits for nobody, and a call that has begun ends as it began.
CREATE OR REPLACE FUNCTION pgmq._set_pause(queue_name text, reads boolean, sends boolean)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_owner regrole;
    v_before pgmq.paused;
BEGIN
    PERFORM pgmq._compiled('enqueue', queue_name);     -- an unknown queue is an error
    queue_name := pgmq._lock_queue(queue_name);
    v_owner := pgmq._owner(pgmq._queue_table(queue_name));
    IF NOT pg_has_role(v_owner, 'USAGE') THEN
        RAISE EXCEPTION 'only the owner of queue "%" may pause or resume it', queue_name
            USING ERRCODE = 'insufficient_privilege', HINT = format('That is role %s.', v_owner);
    END IF;
    SET CONSTRAINTS pgmq.push_backlog DEFERRED;     -- whatever the caller has set
    DELETE FROM pgmq.paused AS p
    WHERE p.queue_name = _set_pause.queue_name
    RETURNING p.* INTO v_before;
    IF reads OR sends THEN
        INSERT INTO pgmq.paused (queue_name, reads, sends, paused_at)
        VALUES (queue_name, reads, sends, coalesce(v_before.paused_at, now()));
    END IF;
    PERFORM pgmq._compile(queue_name);
    IF v_before.reads AND NOT reads THEN
        PERFORM pgmq._rouse(queue_name);
    END IF;
    RETURN v_before.queue_name IS NOT NULL;
END
$$;
COMMENT ON FUNCTION pgmq._set_pause(text, boolean, boolean) IS
'Pause reads and sends of a queue, or neither; return whether it was paused before.';

CREATE OR REPLACE FUNCTION pgmq._rouse(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_table CONSTANT text := pgmq.format_table_name(queue_name, 'q');
BEGIN
    -- Whether or not the queue is armed: a consumer that is about to wait may have seen the pause,
    -- and may arm the queue only now.
    IF pgmq._relation('armed_until', queue_name) IS NOT NULL THEN
        PERFORM pg_notify(format('pgmq.%s.READY', v_table), '');
    END IF;
    IF pgmq._insert_throttle(pgmq._queue_table(queue_name)) IS NOT NULL THEN
        PERFORM pg_notify(format('pgmq.%s.INSERT', v_table), '');
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._rouse(text) IS
'Wake the consumers that wait for a queue; to channels, the commit pushes: see _push_backlog.';
