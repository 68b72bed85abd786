CREATE OR REPLACE FUNCTION pgmq._free_slot(queue_name text, msg_id bigint, read_ct integer)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_channel text;
    v_silent_since timestamptz;
    v_free_at CONSTANT timestamptz := pgmq._long_ago(clock_timestamp());
BEGIN
    -- If another session has this slot locked, leave it: that session, or the end of the lease,
    -- frees it.
    UPDATE pgmq.channel_slot AS f
    SET msg_id = null, read_ct = null, free_at = v_free_at
    WHERE f.ctid = ANY (ARRAY(
        SELECT s.ctid
        FROM pgmq.channel_slot AS s
        WHERE s.queue_name = _free_slot.queue_name
            AND s.msg_id = _free_slot.msg_id
            AND s.read_ct = _free_slot.read_ct
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING f.channel, (
        SELECT c.silent_since FROM pgmq.channel AS c WHERE c.channel = f.channel
    ) INTO v_channel, v_silent_since;
    IF v_silent_since IS NOT NULL THEN
        -- The channel has answered again: see _pause.
        UPDATE pgmq.channel AS c SET silent_since = null
        WHERE c.ctid = ANY (ARRAY(
            SELECT d.ctid FROM pgmq.channel AS d WHERE d.channel = v_channel
            FOR NO KEY UPDATE SKIP LOCKED
        ));
        UPDATE pgmq.channel_slot AS f SET free_at = v_free_at
        WHERE f.ctid = ANY (ARRAY(
            SELECT s.ctid
            FROM pgmq.channel_slot AS s
            WHERE s.channel = v_channel AND s.msg_id IS NULL AND s.free_at > clock_timestamp()
            FOR UPDATE SKIP LOCKED
        ));
    END IF;
    RETURN v_channel IS NOT NULL;
END
$$;
COMMENT ON FUNCTION pgmq._free_slot(text, bigint, integer) IS 'Free the slot that a lease fills, if it was pushed.';

CREATE OR REPLACE FUNCTION pgmq._long_ago(moment timestamptz)
RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    -- A thousand years, in hours: every day has 24 of them here, whatever the time zone.
    SELECT moment - '8766000 hours'::interval
$$;
COMMENT ON FUNCTION pgmq._long_ago(timestamptz) IS
'The time since when a slot is free, as it is stored: long before now.

So the slot that is free for longest comes first, and a clock that is set back fills no slot.';

-- The server does not show which sessions listen to a channel. But a consumer answers: it
-- acknowledges, returns or extends. If a lease has ended and there was no answer since, the channel
-- is silent: its session has done UNLISTEN, hangs, or is too slow for its vt. A silent channel gets
-- one message at a time, the first one at once, the others after ever longer pauses, until it
-- answers (see _free_slot). So messages go to other channels, or a reader finds them, before they
-- have been received too often.
CREATE OR REPLACE FUNCTION pgmq._pause(
    channel text,
    silent_since timestamptz,
    vt integer,
    lease_end timestamptz
)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now CONSTANT timestamptz := clock_timestamp();
    v_vt CONSTANT interval := make_interval(secs => vt);
    v_until timestamptz := (
        SELECT max(s.free_at)
        FROM pgmq.channel_slot AS s
        WHERE s.channel = _pause.channel AND s.msg_id IS NOT NULL AND s.free_at > v_now
    );
BEGIN
    UPDATE pgmq.channel AS c SET silent_since = _pause.silent_since
    WHERE c.ctid = ANY (ARRAY(
        SELECT d.ctid FROM pgmq.channel AS d
        WHERE d.channel = _pause.channel AND d.silent_since IS NULL
        FOR NO KEY UPDATE SKIP LOCKED
    ));
    -- More than half a vt after the first lease has ended: this message was a try, and nobody has
    -- answered.
    IF lease_end > silent_since + 1.5 * v_vt THEN
        v_until := greatest(
            v_until, lease_end + least(lease_end - silent_since - v_vt, 8 * v_vt)
        );
    END IF;
    IF v_until > v_now THEN
        UPDATE pgmq.channel_slot AS f
        SET msg_id = null, read_ct = null, free_at = v_until
        WHERE f.ctid = ANY (ARRAY(
            SELECT s.ctid FROM pgmq.channel_slot AS s
            WHERE s.channel = _pause.channel AND s.free_at <= v_now
            FOR UPDATE SKIP LOCKED
        ));
        RETURN true;
    END IF;
    RETURN false;
END
$$;
COMMENT ON FUNCTION pgmq._pause(text, timestamptz, integer, timestamptz) IS
'Note that a channel has been silent, and say whether to leave it alone for now.

lease_end is the end of the lease that was found to have ended.';
