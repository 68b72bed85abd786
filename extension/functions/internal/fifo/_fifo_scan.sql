-- Without the index, groups are found among the oldest messages of the queue.
CREATE OR REPLACE FUNCTION pgmq._fifo_scan_lock(
    queue_name text,
    as_of timestamptz,
    msg_ids bigint[],
    quantity integer
)
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_locked bigint[];
BEGIN
    EXECUTE format(
        $sql$
        SELECT ARRAY(
            SELECT q.msg_id
            FROM pgmq.%I AS q
            WHERE %s AND q.msg_id = ANY ($2) AND (q.vt <= $1 OR q.vt <= q.enqueued_at)
            ORDER BY q.msg_id
            LIMIT $3
            FOR UPDATE SKIP LOCKED
        )
        $sql$,
        pgmq.format_table_name(queue_name, 'q'), pgmq._live_range(queue_name)
    ) INTO v_locked USING as_of, msg_ids, quantity;
    RETURN v_locked;
END
$$;
COMMENT ON FUNCTION pgmq._fifo_scan_lock(text, timestamptz, bigint[], integer) IS
'Lock so many of these messages (null: all) that are still visible and that nobody else holds.';

CREATE OR REPLACE FUNCTION pgmq._fifo_scan_front(
    queue_name text,
    as_of timestamptz,
    quantity integer,
    group_name text,
    OUT heads bigint[],
    OUT complete boolean
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- How many of the oldest messages are read: more each time, until they are enough.
    v_limit bigint := CASE WHEN group_name IS NULL THEN 1000 ELSE 1 END;
    v_query text := format(
        $sql$
        SELECT
            coalesce(array_agg(h.msg_id ORDER BY h.msg_id) FILTER (WHERE h.visible), '{}'),
            coalesce(sum(h.messages), 0)
        FROM (
            SELECT DISTINCT ON (f.id)
                f.msg_id, f.visible, count(*) OVER (PARTITION BY f.id) AS messages
            FROM (
                SELECT
                    pgmq._group(q.headers) AS id,
                    q.msg_id,
                    q.vt <= $1 OR q.vt <= q.enqueued_at AS visible
                FROM pgmq.%I AS q
                WHERE %s AND (
                        $2 IS NULL
                        OR coalesce(q.headers ->> 'x-pgmq-group', '_default_fifo_group') = $2
                    )
                ORDER BY q.msg_id
                LIMIT $3
            ) AS f
            ORDER BY f.id, f.msg_id
        ) AS h
        $sql$,
        pgmq.format_table_name(queue_name, 'q'), pgmq._live_range(queue_name)
    );
    v_count bigint;
    v_table CONSTANT text := format('pgmq.%I', pgmq.format_table_name(queue_name, 'q'));
BEGIN
    PERFORM pgmq._may('UPDATE', queue_name, to_regclass(v_table));
    IF pgmq._keeps_snapshot() AND pgmq._partition_column(v_table) IS NOT NULL THEN
        PERFORM pgmq._check_snapshot(v_table);
    END IF;
    LOOP
        EXECUTE v_query INTO heads, v_count USING as_of, group_name, v_limit;
        complete := v_count < v_limit OR group_name IS NOT NULL;
        EXIT WHEN complete OR cardinality(heads) >= quantity;
        v_limit := 8 * v_limit;
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._fifo_scan_front(text, timestamptz, integer, text) IS
'The oldest free groups, or the one of a name, by their heads: see templates/fifo/frontgroups.sql.

The oldest messages are read until there are enough groups among them. complete says that there are
no more.';

CREATE OR REPLACE FUNCTION pgmq._fifo_scan_plan(
    queue_name text,
    as_of timestamptz,
    heads bigint[],
    to_lock integer,
    quantity integer,
    in_rounds boolean,
    depth bigint,
    group_name text,
    OUT held bigint[],
    OUT msg_ids bigint[],
    OUT owners bigint[],
    OUT locked bigint[],
    OUT deepest bigint
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_query text := format(
        $sql$
        SELECT
            coalesce(
                array_agg(p.msg_id ORDER BY CASE WHEN $4 THEN p.round END, p.place, p.round)
                FILTER (WHERE p.free),
                '{}'
            ),
            coalesce(
                array_agg(p.head ORDER BY CASE WHEN $4 THEN p.round END, p.place, p.round)
                FILTER (WHERE p.free),
                '{}'
            ),
            max(p.round) FILTER (WHERE p.free),
            count(*)
        FROM (
            SELECT
                m.msg_id, m.round, h.head, h.place,
                h.head IS NOT NULL AND m.free AND m.round <= $5 AS free
            FROM (
                SELECT
                    f.msg_id,
                    first_value(f.msg_id) OVER w AS head,
                    row_number() OVER w AS round,
                    bool_and(f.visible) OVER w AS free
                FROM (
                    SELECT
                        q.msg_id,
                        pgmq._group(q.headers) AS id,
                        q.vt <= $1 OR q.vt <= q.enqueued_at AS visible
                    FROM pgmq.%I AS q
                    WHERE %s AND (
                            $3 IS NULL
                            OR coalesce(q.headers ->> 'x-pgmq-group', '_default_fifo_group') = $3
                        )
                    ORDER BY q.msg_id
                    LIMIT $6
                ) AS f
                WINDOW w AS (PARTITION BY f.id ORDER BY f.msg_id)
            ) AS m
            LEFT JOIN unnest($2) WITH ORDINALITY AS h (head, place) ON m.head = h.head
        ) AS p
        $sql$,
        pgmq.format_table_name(queue_name, 'q'), pgmq._live_range(queue_name)
    );
    v_limit bigint := 1000;
    v_count bigint;
BEGIN
    held := heads;
    IF to_lock IS NOT NULL THEN
        held := pgmq._fifo_scan_lock(queue_name, as_of, heads, to_lock);
    END IF;
    LOOP
        EXECUTE v_query
        INTO msg_ids, owners, deepest, v_count
        USING as_of, held, group_name, in_rounds, depth, v_limit;
        EXIT WHEN v_count < v_limit
            OR cardinality(msg_ids) >= least(quantity, cardinality(held) * depth);
        v_limit := 8 * v_limit;
    END LOOP;
    msg_ids := msg_ids[:quantity];
    owners := owners[:quantity];
    IF msg_ids = owners AND to_lock IS NOT NULL THEN
        locked := msg_ids;      -- heads alone
    ELSIF cardinality(held) = to_lock THEN
        locked := pgmq._fifo_scan_lock(queue_name, as_of, msg_ids, null);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._fifo_scan_plan(text, timestamptz, bigint[], integer, integer, boolean, bigint, text) IS
'The messages that may be taken of the groups with these heads: see templates/fifo/plangroups.sql.

The oldest messages are read until there are enough among them.';
