-- Note that this transaction announces: the time (see _announced_at), and behind it the last 22 bits
-- of its id, which tell it from other transactions of the same minutes. With the rights of the
-- queue's owner, since producers have none on its sequences.
CREATE OR REPLACE FUNCTION pgmq._announce_$queue()
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM setval(
        'pgmq.notify_at_$queue',
        (pgmq._microseconds(clock_timestamp()) / 1000 - 1577836800000 << 22)
        | (pg_current_xact_id()::text::bigint & 4194303)
    );
END
$$;
