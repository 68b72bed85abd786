CREATE OR REPLACE FUNCTION pgmq.list_lanes(stream_name text)
RETURNS TABLE (
    group_name text,
    lane integer,
    committed bigint,
    leased_up_to bigint,
    leased_until timestamptz,
    leased_by text,
    failures integer,
    error text,
    changed_at timestamptz
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgmq._compiled('fetch', stream_name);       -- an error unless it is a stream
    PERFORM pgmq._may_use_lanes('SELECT', stream_name);
    RETURN QUERY
        SELECT
            l.group_name, l.lane, l.done,
            CASE WHEN l.leased > l.done THEN l.leased END,
            nullif(l.vt, '-infinity'),
            CASE
                WHEN l.leased > l.done AND a.pid IS NULL THEN format('process %s, gone', l.pid)
                WHEN l.leased > l.done THEN format(
                    'process %s (%s)', l.pid, concat_ws(', ', a.usename, nullif(a.application_name, ''))
                )
            END,
            l.failures, l.error, l.changed_at
        FROM pgmq._lanes(stream_name) AS l
        LEFT JOIN pg_stat_activity AS a ON l.pid = a.pid
        ORDER BY l.group_name, l.lane;
END
$$;
COMMENT ON FUNCTION pgmq.list_lanes(text) IS
'The lanes of the groups of a stream: how far each has read, and who has leased it.

committed: all messages of the lane up to this msg_id are committed. leased_up_to and leased_by: the
batch that was handed out, and to which session; null without one. leased_until: until then nobody
else gets the lane, because it is leased, or was given back with a delay; a time that has passed
means nothing. failures: how often what comes next was handed out in vain, the last time because of
error.

Only lanes that the caller may read as, or monitor, are shown.';
