--# for notify
-- Announce an insert into the queue, unless another was announced within so many milliseconds. A
-- sequence holds the time of the last announcement and its transaction as one number; with a row
-- instead, producers would wait for each other. An announcement goes out only when its transaction
-- commits. So it silences others only once its transaction has committed: not while that is in
-- progress, nor after a rollback, to a savepoint too. Once the commit is known, the transaction is
-- taken out of the number. A transaction that has not inserted silences nobody either.
--
-- There is room for one announcement. If each replaced the one before it, none would ever be known
-- to be committed while transactions overlap. If none replaced one whose transaction stays open,
-- the throttle would not hold for the others. So each keeps its place for a while: half of them for
-- a tenth of a second, a quarter for two, an eighth for four, and so on (by the last bits of its
-- time, which are as good as chance). However long the transactions are, one that keeps its place
-- until it ends comes before long.
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
    v_noted bigint;
    v_outcome text;
BEGIN
    IF throttle_interval_ms > 0 THEN
        v_last := pg_sequence_last_value('pgmq.notify_at_$queue');
        v_at := pgmq._announced_at(v_last);
        v_xid := pg_current_xact_id()::text::bigint;
        IF clock_timestamp() >= v_at
            AND clock_timestamp() < v_at + throttle_interval_ms * interval '1 millisecond'
        THEN
            -- The id with these last bits that is nearest to this transaction's.
            v_noted := v_xid - 2097151 + ((v_last - v_xid + 2097151) & 4194303);
            v_outcome := CASE
                WHEN v_last & 4194303 = 0 THEN 'committed'
                -- Of the cluster that this one was restored from: it had used more transaction ids.
                WHEN v_noted < 3 THEN 'unknown'
                -- A later one, and no such has ended. (Of those that have ended, one may be this
                -- transaction's: what was rolled back to a savepoint.)
                WHEN v_noted > v_xid
                    AND v_noted >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint
                    THEN 'in progress'
                ELSE coalesce(pg_xact_status(v_noted::text::xid8), 'committed')
            END;
        END IF;
        IF v_outcome = 'committed' THEN
            PERFORM setval('pgmq.notify_at_$queue', v_last >> 22 << 22);
            RETURN;
        END IF;
        IF (
            v_outcome IS DISTINCT FROM 'in progress'
            OR clock_timestamp()
                > v_at + (v_last >> 22 & -(v_last >> 22)) * interval '0.1 seconds'
        ) AND pgmq._has_written('pgmq.q_$queue')
        THEN
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
