--# for max_receives or message_ttl
-- Move away the messages that must not be handed out, and return their ids. A message that was
-- received too often, or has expired, goes to the dead-letter queue, or without one to the archive.
-- If one of the given messages is such a one, there may be more: the messages that would be read
-- next are looked through as well, so that a reader gets past many of them in few calls of bounded
-- work. The ids of both are returned.
--
-- A message that cannot be moved (its msg_id is in the archive already, or the dead-letter queue
-- refuses it) stays and is hidden for ten minutes, or no read would ever get past it. Its id is
-- returned, too.
--
-- SECURITY DEFINER: a role that may read the queue need not have a right to the dead-letter queue.
-- The function itself finds out what it moves. It does so only for consumers: the caller must have
-- the right to consume, or must have locked one of these messages, which takes that right.
CREATE OR REPLACE FUNCTION pgmq._bury_$queue(msg_ids bigint[])
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_dead bigint[] := '{}'::bigint[];
    v_moved bigint[];
    v_error text;
BEGIN
    IF NOT EXISTS (
        SELECT FROM pgmq.q_$queue AS q
        WHERE lookup$partitions(q) AND q.msg_id = ANY (msg_ids)
            AND pgmq._is_dead(
                q.read_ct, q.enqueued_at, q.headers, v_now, max_receives$policy, message_ttl$policy
            )
    )
        OR NOT pgmq._is_user('pgmq.q_$queue', 'UPDATE')
        AND NOT EXISTS (
            SELECT FROM pgmq.q_$queue AS q
            WHERE lookup$partitions(q) AND q.msg_id = ANY (msg_ids) AND pgmq._is_own(q.xmax)
        )
    THEN
        RETURN v_dead;
    END IF;
    msg_ids := msg_ids || pgmq._visible(queue_name$policy, v_now, 200, null);
    v_dead := ARRAY(
        SELECT q.msg_id
        FROM pgmq.q_$queue AS q
        WHERE lookup$partitions(q) AND q.msg_id = ANY (msg_ids)
            AND (q.vt <= v_now OR q.vt <= q.enqueued_at)
            AND pgmq._is_dead(
                q.read_ct, q.enqueued_at, q.headers, v_now, max_receives$policy, message_ttl$policy
            )
        ORDER BY q.msg_id
        FOR UPDATE SKIP LOCKED
    );
    BEGIN
        --# if dead_letter_queue
        WITH removed AS (
            DELETE FROM pgmq.q_$queue AS m
            WHERE lookup$partitions(m) AND m.msg_id = ANY (v_dead)
            RETURNING
                m.msg_id, m.message,
                pgmq._dead_letter(
                    m.headers, queue_name$policy, m.msg_id, m.read_ct,
                    CASE
                        WHEN pgmq._expires_at(m.enqueued_at, m.headers, message_ttl$policy) <= v_now
                            THEN 'expired'
                        ELSE 'max_receives'
                    END,
                    m.enqueued_at
                ) AS headers
        )
        INSERT INTO pgmq.dead_letters_$queue (enqueued_at, vt, message, headers)
        SELECT now(), now(), r.message, r.headers
        FROM removed AS r
        ORDER BY r.msg_id;
        RETURN v_dead;
        --# else
        WITH stored AS (
            INSERT INTO pgmq.a_$queue AS a (
                msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers
            )
            SELECT
                m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message,
                pgmq._dead_letter(
                    m.headers, queue_name$policy, m.msg_id, m.read_ct,
                    CASE
                        WHEN pgmq._expires_at(m.enqueued_at, m.headers, message_ttl$policy) <= v_now
                            THEN 'expired'
                        ELSE 'max_receives'
                    END,
                    m.enqueued_at
                )
            FROM pgmq.q_$queue AS m
            WHERE lookup$partitions(m) AND m.msg_id = ANY (v_dead)
            ON CONFLICT DO NOTHING
            RETURNING a.msg_id
        )
        SELECT coalesce(array_agg(s.msg_id), '{}') INTO v_moved FROM stored AS s;
        DELETE FROM pgmq.q_$queue AS m
        WHERE lookup$partitions(m) AND m.msg_id = ANY (v_moved);
        IF archive_retention$policy IS NOT NULL AND pgmq._chance(cardinality(v_moved), 32) THEN
            PERFORM pgmq._upkeep(queue_name$policy, cardinality(v_moved));
        END IF;
        --# end
    EXCEPTION WHEN OTHERS OR assert_failure THEN
        IF pgmq._is_passing(SQLSTATE) THEN
            RAISE;
        END IF;
        v_moved := '{}'::bigint[];
        v_error := SQLERRM;
    END;
    IF cardinality(v_moved) < cardinality(v_dead) THEN
        UPDATE pgmq.q_$queue AS m
        SET vt = greatest(
                clock_timestamp() + interval '10 minutes', m.enqueued_at + interval '1 s'
            ),
            -- A hidden message is not leased.
            last_read_at = CASE WHEN max_in_flight$policy IS NULL THEN m.last_read_at END
        WHERE lookup$partitions(m) AND m.msg_id = ANY (v_dead)
            AND (m.msg_id IN (SELECT u.id FROM unnest(v_moved) AS u (id))) IS NOT TRUE;
        --# if max_in_flight_per_group
        UPDATE pgmq.q_$queue AS m
        SET last_read_at = null
        WHERE lookup$partitions(m) AND m.msg_id = ANY (v_dead) AND m.last_read_at IS NOT NULL;
        --# end
        RAISE WARNING '% messages of queue "%" cannot be moved away and are hidden for ten minutes: %',
            cardinality(v_dead) - cardinality(v_moved), queue_name$policy,
            coalesce(v_error, 'the archive has their msg_ids already')
            USING HINT = 'They must not be handed out any more. SELECT * FROM pgmq.doctor() may say why.';
    END IF;
    RETURN v_dead;
END
$$;
