CREATE OR REPLACE FUNCTION pgmq.set_policy(
    queue_name text,
    max_receives integer DEFAULT null,
    dead_letter_queue text DEFAULT null,
    retry_delay interval DEFAULT null,
    retry_delay_max interval DEFAULT null,
    retry_jitter double precision DEFAULT 0,
    message_ttl interval DEFAULT null,
    archive_retention interval DEFAULT null,
    dedup_window interval DEFAULT null,
    max_in_flight integer DEFAULT null,
    ack_archives boolean DEFAULT false
)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_policy pgmq.policy := (
        queue_name, max_receives, dead_letter_queue, retry_delay, retry_delay_max,
        coalesce(retry_jitter, 0)::real, message_ttl, archive_retention, dedup_window, max_in_flight,
        coalesce(ack_archives, false)
    );
BEGIN
    PERFORM pgmq._check_policy(v_policy);
    PERFORM pgmq._compiled('enqueue', queue_name);     -- an unknown queue is an error

    IF pgmq._is_stream(pgmq._queue_table(queue_name)) AND v_policy IS DISTINCT FROM (
        queue_name, null, null, null, null, 0, null, null, dedup_window, null, false
    )::pgmq.policy
    THEN
        RAISE EXCEPTION 'stream "%" has no policy but dedup_window', queue_name
            USING ERRCODE = 'feature_not_supported',
                HINT = 'Its groups have options: see create_group() and alter_group().';
    END IF;
    -- One call at a time: two at once could close a circle of dead-letter queues between them.
    PERFORM pg_advisory_xact_lock(hashtext('pgmq.policy'));
    v_policy.queue_name := pgmq._lock_queue_name(queue_name);
    IF v_policy.queue_name IS NULL THEN
        RAISE EXCEPTION 'queue "%" does not exist', queue_name
            USING ERRCODE = 'undefined_table', HINT = 'It has just been dropped.';
    END IF;
    IF dead_letter_queue IS NOT NULL THEN
        PERFORM pgmq._refuse_stream(dead_letter_queue);
        v_policy.dead_letter_queue := pgmq._ensure_dead_letter_queue(
            v_policy.queue_name, dead_letter_queue
        );
    END IF;

    DELETE FROM pgmq.policy AS p WHERE p.queue_name = v_policy.queue_name;
    IF v_policy IS DISTINCT FROM pgmq._policy_of(v_policy.queue_name) THEN
        INSERT INTO pgmq.policy SELECT (v_policy).*;
    END IF;
    PERFORM pgmq._lay_out_policy(v_policy);
    PERFORM pgmq._compile(v_policy.queue_name);
END
$$;
COMMENT ON FUNCTION pgmq.set_policy(text, integer, text, interval, interval, double precision, interval, interval, interval, integer, boolean) IS
'Set the whole policy of a queue (what is left out or null is off) and compile it into the queue.

- max_receives, message_ttl, dead_letter_queue: a message that was received max_receives times, or
  is older than message_ttl (or than the seconds in its header x-pgmq-ttl), is moved away by the
  read that would hand it out. It goes to the dead-letter queue, which is created if missing, or
  without one to the archive. A message that cannot be moved is hidden for ten minutes, with a
  warning.
- retry_delay, retry_delay_max, retry_jitter: nack without a delay hides a message for retry_delay,
  doubled with each receipt, up to retry_delay_max if that is given. Each delay is shortened by a
  random part of up to retry_jitter (0 to 1).
- archive_retention: archived messages are removed after this time.
- dedup_window: within it, send_once() and the header x-pgmq-dedup-id store a message once.
- max_in_flight: reads stop when so many messages are leased. Turning this on or off builds or drops
  an index, which waits for the transactions that use the queue and holds up those that follow. (A
  transaction that has turned something on leaves the index for the next change.)
- ack_archives: ack archives messages instead of deleting them.

Only the owner of the queue may call this; anybody else gets an error.';
