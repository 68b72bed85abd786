-- Announce an insert into the queue, at most once in so many milliseconds (the trigger's argument).
-- This is the way of all that the throttle leaves out; see announce for the others.
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
BEGIN
    IF TG_ARGV[0] <> '0' THEN
        v_last := pg_catalog.pg_sequence_last_value('pgmq.notify_at_$queue');
        v_at := pgmq._announced_at(v_last);
        IF v_last & '4194303' = 0     -- for sure
            AND clock_timestamp() < v_at + TG_ARGV[0]::double precision * interval '1 millisecond'
            AND clock_timestamp() >= v_at   -- or the clock was set back
        THEN
            RETURN null;
        END IF;
    END IF;
    IF EXISTS (SELECT FROM arrived) THEN
        PERFORM pgmq._announce_$queue(TG_ARGV[0]::integer);
    END IF;
    RETURN null;
END
$$;
