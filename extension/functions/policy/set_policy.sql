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
    ack_archives boolean DEFAULT false,
    rate_limit integer DEFAULT null,
    rate_interval interval DEFAULT null,
    rate_burst integer DEFAULT null,
    max_in_flight_per_group integer DEFAULT null,
    dedup_scope text DEFAULT null,
    priorities boolean DEFAULT false,
    priority_ageing interval DEFAULT null
)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_before CONSTANT pgmq.policy := pgmq._lock_policy(queue_name);
    v_policy CONSTANT pgmq.policy := (
        v_before.queue_name, max_receives, dead_letter_queue, retry_delay, retry_delay_max,
        coalesce(retry_jitter, 0)::real, message_ttl, archive_retention, dedup_window, max_in_flight,
        coalesce(ack_archives, false), rate_limit, rate_interval, rate_burst,
        max_in_flight_per_group, dedup_scope, coalesce(priorities, false), priority_ageing
    );
    v_off text;
BEGIN
    PERFORM pgmq._replace_policy(v_policy);
    SELECT string_agg(b.key, ', ' ORDER BY b.key) INTO v_off
    FROM jsonb_each(to_jsonb(v_before)) AS b
    INNER JOIN jsonb_each(to_jsonb(v_policy)) AS a USING (key)
    WHERE b.value NOT IN ('null', '0', 'false') AND a.value IN ('null', '0', 'false');
    IF v_off IS NOT NULL THEN
        RAISE NOTICE 'queue "%" no longer has %', v_policy.queue_name, v_off
            USING HINT = 'alter_policy() changes only what it is given.';
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq.set_policy(text, integer, text, interval, interval, double precision, interval, interval, interval, integer, boolean, integer, interval, integer, integer, text, boolean, interval) IS
'Set the whole policy of a queue (what is left out or null is off) and compile it into the queue.

A notice names what the queue had and no longer has; alter_policy changes single options.

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
- dedup_scope: with pending, they store none while the message with the key is in the queue, also
  beyond a dedup_window, if there is one. It is about messages that are sent from then on. window is
  as null: only the dedup_window counts.
- max_in_flight: reads stop when so many messages are leased. Turning this on or off builds or drops
  an index, which waits for the transactions that use the queue and holds up those that follow. (A
  transaction that has turned something on leaves the index for the next change.)
- max_in_flight_per_group: reads pass over the messages of a group (header x-pgmq-group) when so
  many of it are leased; a call leases 1,000 messages at most. Turning this on creates the indexes
  of create_fair_index, which stay when it is turned off.
- rate_limit, rate_interval, rate_burst: so many messages are handed out in each rate_interval (1 s
  unless given), evenly; so many at once after a time with fewer (rate_limit unless given). A read
  that is rolled back has used its share up.
- priorities: reads take the messages of the highest priority first (header x-pgmq-priority, 0 to
  9; anything else counts as 4), and the oldest of these. Turning this on or off builds or drops two
  indexes, as max_in_flight does.
- priority_ageing: each step of priority is a head start of this length, so that a message is
  overtaken by no message that is sent much later. Without it, a low priority can wait for ever.
- ack_archives: ack archives messages instead of deleting them.

Only the owner of the queue may call this; anybody else gets an error.';
