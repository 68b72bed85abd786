-- STABLE means here only that expressions take no snapshots of their own. Those would cost a third
-- of the time, and this function reads no table.
CREATE OR REPLACE FUNCTION pgmq.notify_queue_listeners()
RETURNS trigger
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    v_at timestamptz;
    v_last bigint;
BEGIN
    IF TG_NARGS < 2 THEN    -- a trigger as pgmq 1 makes it
        PERFORM pg_notify(
            pg_catalog.format('pgmq.%s.%s', TG_TABLE_NAME, TG_OP), ''
        );
        RETURN null;
    END IF;
    -- The fast path: inserts that the throttle suppresses end here. The others go on to the
    -- template announce.
    IF TG_ARGV[0] <> '0' THEN
        v_last := pg_catalog.pg_sequence_last_value(
            pg_catalog.format('pgmq.%I', TG_ARGV[1])::regclass
        );
        v_at := pgmq._announced_at(v_last);
        IF pgmq._announced_by(v_last) = 0
            AND clock_timestamp() < v_at + TG_ARGV[0]::double precision * interval '1 millisecond'
            AND clock_timestamp() >= v_at   -- or the clock was set back
        THEN
            RETURN null;
        END IF;
    END IF;
    IF NOT EXISTS (SELECT FROM arrived) THEN
        RETURN null;
    END IF;
    IF TG_ARGV[0] = '0' THEN
        PERFORM pg_notify(pg_catalog.format('pgmq.%s.INSERT', TG_TABLE_NAME), '');
    ELSE
        EXECUTE pg_catalog.format('SELECT pgmq.%I($1)', TG_ARGV[2]) USING TG_ARGV[0]::integer;
    END IF;
    RETURN null;
END
$$;
COMMENT ON FUNCTION pgmq.notify_queue_listeners() IS
'The trigger function of enable_notify_insert: announces what a statement has inserted into a queue.';
