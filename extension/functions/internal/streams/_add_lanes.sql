CREATE OR REPLACE FUNCTION pgmq._add_lanes(
    queue_name text,
    group_name text,
    behind bigint DEFAULT null
)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_stream CONSTANT text := pgmq._stream_name(queue_name);
    v_group CONSTANT pgmq.stream_group := pgmq._existing_group(v_stream, group_name);
BEGIN
    EXECUTE format(
        $dml$
        INSERT INTO pgmq.%1$I (
            group_name, lane, version, lanes, done, leased, epoch, vt, size, changed_at, failed
        )
        SELECT $1, n.lane, e.epoch, $2, $3, $3, e.epoch, '-infinity', 0, clock_timestamp(), '{}'
        FROM generate_series(0, $2 - 1) AS n (lane)
        CROSS JOIN LATERAL (SELECT nextval(%2$L) + 0 * n.lane AS epoch) AS e
        WHERE NOT EXISTS (
            SELECT FROM pgmq.%1$I AS l WHERE l.group_name = $1 AND l.lane = n.lane
        )
        $dml$,
        pgmq._relation_name('lane', v_stream),
        format('pgmq.%I', pgmq._relation_name('epoch', v_stream))
    ) USING group_name, v_group.lanes, coalesce(behind, pgmq._position(v_stream, 'earliest'));
END
$$;
COMMENT ON FUNCTION pgmq._add_lanes(text, text, bigint) IS
'Give a group the lanes that it lacks, which read what is behind a msg_id (null: all that there is).';
