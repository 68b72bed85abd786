CREATE OR REPLACE FUNCTION pgmq.list_channels()
RETURNS TABLE (
    channel text,
    queue_name text,
    maximum_messages integer,
    vt integer,
    in_flight integer,
    pid integer,
    opened_at timestamptz
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pg_is_in_recovery() THEN
        RETURN;     -- a standby has none: see _doctor_channels
    END IF;
    RETURN QUERY
        SELECT
            c.channel,
            c.queue_name,
            c.maximum_messages,
            c.vt,
            (
                SELECT count(*) FROM pgmq.channel_slot AS s
                WHERE s.channel = c.channel AND s.msg_id IS NOT NULL
                    AND s.free_at > clock_timestamp()
            )::integer,
            c.pid,
            c.opened_at
        FROM pgmq.channel AS c
        ORDER BY c.queue_name, c.channel;
END
$$;
COMMENT ON FUNCTION pgmq.list_channels() IS
'List the open channels, each with the number of messages pushed and not acknowledged.

An extended lease counts only until its first end. A channel whose session is gone is listed until
somebody notices. A standby has no channels. For the extension''s owner only: anyone who knows the
name of a channel can listen to it.';
