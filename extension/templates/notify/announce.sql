--# for notify
-- Announce an insert into the queue, unless another was announced within so many milliseconds. A
-- sequence holds the time of the last announcement and its transaction as one number; with a row
-- instead, producers would wait for each other. An announcement goes out only when its transaction
-- commits. So it silences others only once its transaction has committed: not while that is in
-- progress, nor after a rollback, to a savepoint too. Once the commit is known, the transaction is
-- taken out of the number. A transaction that has not inserted silences nobody either.
--
-- The number is the time (see _announced_at), and behind it the last 22 bits of the transaction's
-- id, which tell it from others of the same minutes.
CREATE OR REPLACE FUNCTION pgmq._announce_$queue(throttle_interval_ms integer)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER      -- producers have no right to the sequence
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_last bigint;
    v_at timestamptz;
    v_xid bigint;
    v_behind bigint;
    v_outcome text;
BEGIN
    IF throttle_interval_ms > 0 THEN
        v_last := pg_sequence_last_value('pgmq.notify_at_$queue');
        v_at := pgmq._announced_at(v_last);
        v_xid := pg_current_xact_id()::text::bigint;
        IF clock_timestamp() >= v_at
            AND clock_timestamp() < v_at + throttle_interval_ms * interval '1 millisecond'
        THEN
            v_behind := (v_xid - v_last) & 4194303;
            v_outcome := CASE
                WHEN v_last & 4194303 = 0 THEN 'committed'
                -- Itself, or a later one.
                WHEN v_behind NOT BETWEEN 1 AND 2097151 THEN 'in progress'
                -- Of the cluster that this one was restored from: it had used more transaction ids.
                WHEN v_behind >= v_xid THEN 'unknown'
                ELSE coalesce(pg_xact_status((v_xid - v_behind)::text::xid8), 'committed')
            END;
        END IF;
        IF v_outcome = 'committed' THEN
            PERFORM setval('pgmq.notify_at_$queue', v_last >> 22 << 22);
            RETURN;
        END IF;
        -- Not while another transaction is about to announce: each would replace the one before it
        -- in the number, and none would ever be known to be committed.
        IF v_outcome IS DISTINCT FROM 'in progress' AND pgmq._has_written('pgmq.q_$queue') THEN
            PERFORM setval(
                'pgmq.notify_at_$queue',
                (pgmq._microseconds(clock_timestamp()) / 1000 - 1577836800000 << 22)
                | greatest(pgmq._innermost_xid() & 4194303, 1)
            );
        END IF;
    END IF;
    PERFORM pg_notify(
        format(
            'pgmq.%s.INSERT',
            (SELECT c.relname FROM pg_class AS c WHERE c.oid = 'pgmq.q_$queue'::regclass)
        ),
        ''
    );
END
$$;
