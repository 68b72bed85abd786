-- A call that finds a lane without messages does not lock it. So what it has looked at, others
-- would look at again. Therefore the upkeep notes it.
CREATE OR REPLACE FUNCTION pgmq._pass_over(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_until CONSTANT timestamptz := clock_timestamp() + interval '20 milliseconds';
    v_settled bigint;
    v_group pgmq.stream_group;
BEGIN
    IF pgmq._keeps_snapshot() THEN
        RETURN;         -- it would pass over what it does not see
    END IF;
    v_settled := pgmq._settled(pgmq._queue_table(queue_name), 9223372036854775806);
    FOR v_group IN
        SELECT g.* FROM pgmq.stream_group AS g
        WHERE lower(g.queue_name) = lower(_pass_over.queue_name)
        ORDER BY random()
    LOOP
        EXIT WHEN clock_timestamp() > v_until;      -- the others another time
        PERFORM pgmq._pass_over(v_group, v_settled);
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._pass_over(text) IS
'Have the lanes that nobody has leased pass over what comes before their next message.

It locks them until the transaction ends: to be called at its end. It works for a few milliseconds.';

CREATE OR REPLACE FUNCTION pgmq._pass_over(reader pgmq.stream_group, settled bigint)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    v_most CONSTANT integer := 2000;        -- messages that are looked at
    v_lane CONSTANT text := pgmq._relation_name('lane', reader.queue_name);
    v_lanes integer[];
    v_versions bigint[];
    v_places bigint[];
BEGIN
    EXECUTE format(
        $sql$
        WITH idle AS (
            SELECT l.lane, l.version, l.done
            FROM generate_series(0, $2 - 1) AS n (lane)
            CROSS JOIN LATERAL (
                SELECT s.*
                FROM pgmq.%I AS s
                WHERE s.group_name = $1 AND s.lane = n.lane
                ORDER BY s.group_name DESC, s.lane DESC, s.version DESC
                LIMIT 1
            ) AS l
            WHERE l.leased = l.done AND l.done < $3 - 1
                AND greatest(l.vt, l.changed_at + interval '1 second') < clock_timestamp()
        ),
        looked AS (
            SELECT m.msg_id, pgmq._lane_of(m.key_hash, m.msg_id, $2) AS lane
            FROM pgmq.%I AS m
            WHERE m.msg_id > (SELECT min(i.done) FROM idle AS i) AND m.msg_id < $3
            ORDER BY m.msg_id
            LIMIT $4
        ),
        places AS (
            SELECT i.lane, i.version, i.done, coalesce(
                min(k.msg_id) - 1,
                (SELECT CASE WHEN count(*) < $4 THEN $3 - 1 ELSE max(a.msg_id) END FROM looked AS a)
            ) AS place
            FROM idle AS i
            LEFT JOIN looked AS k ON i.lane = k.lane AND i.done < k.msg_id
            GROUP BY i.lane, i.version, i.done
        )
        SELECT array_agg(p.lane), array_agg(p.version), array_agg(p.place)
        FROM places AS p
        WHERE p.place > p.done
        $sql$,
        v_lane, pgmq.format_table_name(reader.queue_name, 'q')
    ) INTO v_lanes, v_versions, v_places USING reader.group_name, reader.lanes, settled, v_most;
    IF v_lanes IS NULL THEN
        RETURN;
    END IF;
    -- A state that is still there and can be locked is the newest: see the template fetch.
    EXECUTE format(
        $dml$
        WITH held AS (
            SELECT l.group_name, l.lane, l.version, p.place
            FROM unnest($2, $3, $4) AS p (lane, version, place)
            INNER JOIN pgmq.%1$I AS l
                ON l.group_name = $1 AND p.lane = l.lane AND p.version = l.version
            FOR UPDATE OF l SKIP LOCKED
        ),
        before AS (
            DELETE FROM pgmq.%1$I AS l
            USING held AS h
            WHERE l.group_name = h.group_name AND l.lane = h.lane AND l.version = h.version
            RETURNING l.*, h.place, pgmq._still_failed(l.failed, h.place) AS still_failed
        )
        INSERT INTO pgmq.%1$I
        SELECT
            b.group_name, b.lane, nextval(%2$L), b.lanes, b.place, b.place, b.epoch, b.vt, b.size, b.pid,
            clock_timestamp(), b.still_failed, CASE WHEN b.still_failed <> '{}' THEN b.error END
        FROM before AS b
        $dml$,
        v_lane, format('pgmq.%I', pgmq._relation_name('epoch', reader.queue_name))
    ) USING reader.group_name, v_lanes, v_versions, v_places;
END
$$;
COMMENT ON FUNCTION pgmq._pass_over(pgmq.stream_group, bigint) IS
'Have the lanes of a group that nobody has leased pass over what comes before their next message.';
