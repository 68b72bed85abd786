-- Announce an insert into the queue, at most once in so many milliseconds (the trigger's argument).
-- When it was announced last, and by which transaction, is one number in a sequence (see announce):
-- no row that producers would wait for each other over. An announcement goes out only when its
-- transaction commits, so only one by a committed transaction counts: one that is rolled back, or
-- not done yet, silences nobody.
--
-- STABLE, which for a trigger only means that it takes no snapshot of its own for each expression:
-- it reads no table, and they cost a third of its time.
CREATE OR REPLACE FUNCTION pgmq._notify_$queue()
RETURNS trigger
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    v_last bigint;
    v_at timestamptz;
    v_xid bigint;
BEGIN
    IF TG_ARGV[0] <> '0' THEN
        v_last := pg_sequence_last_value('pgmq.notify_at_$queue');
        v_at := pgmq._announced_at(v_last);
        IF clock_timestamp() < v_at + TG_ARGV[0]::integer * interval '1 millisecond'
            AND clock_timestamp() >= v_at   -- or the clock was set back
        THEN
            -- A later transaction is not waited for. Of one so old that its outcome is forgotten,
            -- it was committed.
            v_xid := pg_current_xact_id()::text::bigint;
            IF (v_xid - v_last) & 4194303 BETWEEN 1 AND 2097151
                AND coalesce(
                    pg_xact_status((v_xid - ((v_xid - v_last) & 4194303))::text::xid8),
                    'committed'
                ) = 'committed'
            THEN
                RETURN null;
            END IF;
        END IF;
    END IF;
    IF EXISTS (SELECT FROM arrived) THEN
        IF TG_ARGV[0] <> '0' THEN
            PERFORM pgmq._announce_$queue();
        END IF;
        PERFORM pg_notify(format('pgmq.%s.INSERT', TG_TABLE_NAME), '');
    END IF;
    RETURN null;
END
$$;
