CREATE OR REPLACE FUNCTION pgmq._advance_fifo(sweep boolean DEFAULT false)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN pgmq._advance(
        'pgmq.q_fifo', 'pgmq.ready_mark_fifo', 'pgmq.parked_mark_fifo',
        'pgmq.sweep_due_fifo', sweep
    );
END
$$;

CREATE OR REPLACE FUNCTION pgmq._anchor_fifo()
RETURNS pgmq.queue_record
LANGUAGE sql STABLE
AS $$
    SELECT null::pgmq.queue_record
$$;

CREATE OR REPLACE FUNCTION pgmq._archive_fifo(id bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
AS $$
BEGIN
    WITH removed AS (
        DELETE FROM pgmq.q_fifo AS m
        WHERE m.msg_id = id
            AND pgmq._may('DELETE', 'fifo'::text, 'pgmq.q_fifo')
        RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers
    )
    INSERT INTO pgmq.a_fifo (msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers)
    SELECT r.* FROM removed AS r;
    RETURN FOUND;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._archivemany_fifo(msg_ids bigint[], receipts integer[])
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    RETURN QUERY
        WITH removed AS (
            DELETE FROM pgmq.q_fifo AS m
            WHERE m.msg_id = ANY (msg_ids)
                AND (receipts IS NULL OR m.read_ct > 0 AND ((m.msg_id, m.read_ct) IN (
                    SELECT l.id, l.receipt FROM unnest(msg_ids, receipts) AS l (id, receipt)
                )) IS TRUE)
                AND pgmq._may('DELETE', 'fifo'::text, 'pgmq.q_fifo')
            RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers
        )
        INSERT INTO pgmq.a_fifo AS a (
            msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers
        )
        SELECT r.* FROM removed AS r
        RETURNING a.msg_id;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._choose_fifo(
    as_of timestamptz,
    quantity integer,
    condition jsonb,
    breadth bigint,
    held bigint[],
    OUT looked_at integer,
    OUT locked bigint[],
    OUT is_sweep_due boolean
)
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    SELECT
        pg_catalog.cardinality(l.msg_ids), l.msg_ids,
        pgmq._is_sweep_due('pgmq.parked_mark_fifo', 'pgmq.sweep_due_fifo')
    INTO looked_at, locked, is_sweep_due
    FROM (
        SELECT ARRAY(
            SELECT u.msg_id
            FROM (
                (
                    SELECT q.msg_id
                    FROM pgmq.q_fifo AS q
                    WHERE q.vt > q.enqueued_at AND q.vt <= as_of
                        AND q.vt >= pgmq._parked_mark('pgmq.parked_mark_fifo')
                        AND (condition IS NULL OR q.message @> condition)
                        AND pgmq._may('UPDATE', 'fifo'::text, 'pgmq.q_fifo')
                    ORDER BY q.vt
                    LIMIT greatest(200, 2 * breadth)
                )
                UNION ALL
                (
                    SELECT q.msg_id
                    FROM pgmq.q_fifo AS q
                    WHERE q.vt <= q.enqueued_at
                        AND q.msg_id >= pgmq._id_mark('pgmq.ready_mark_fifo')
                        AND (condition IS NULL OR q.message @> condition)
                    ORDER BY q.msg_id
                    LIMIT breadth
                )
            ) AS u
            ORDER BY u.msg_id
            LIMIT breadth
        ) AS msg_ids
        OFFSET 0        -- once, for both
    ) AS l;
    IF looked_at > 0 THEN
        locked := ARRAY(
            SELECT q.msg_id
            FROM pgmq.q_fifo AS q
            WHERE q.msg_id = ANY (locked)
                AND (
                    pg_catalog.cardinality(held) = 0
                    OR (q.msg_id IN (SELECT h.id FROM pg_catalog.unnest(held) AS h (id))) IS NOT TRUE
                )
                AND (q.vt <= as_of OR q.vt <= q.enqueued_at)
                AND (condition IS NULL OR q.message @> condition)   -- amend() may have come first
            ORDER BY q.msg_id
            LIMIT quantity
            FOR UPDATE SKIP LOCKED
        );
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._consume_fifo(quantity integer, alike anyelement)
RETURNS SETOF anyelement
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_ids bigint[];
BEGIN
    RETURN QUERY
        DELETE FROM pgmq.q_fifo AS m
        WHERE m.msg_id = ANY (ARRAY(
                SELECT q.msg_id
                FROM pgmq.q_fifo AS q
                WHERE q.vt <= q.enqueued_at
                    AND q.msg_id >= (SELECT pgmq._id_mark('pgmq.ready_mark_fifo'))
                    AND NOT EXISTS (
                        SELECT FROM pgmq.q_fifo AS d
                        WHERE d.vt > d.enqueued_at
                            AND d.vt >= pgmq._parked_mark('pgmq.parked_mark_fifo')
                            AND d.vt <= pgmq._clock()
                    )
                ORDER BY q.msg_id
                LIMIT quantity
                FOR UPDATE SKIP LOCKED
            ))
            AND pgmq._may('DELETE', 'fifo'::text, 'pgmq.q_fifo')
        RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers;
    IF NOT FOUND THEN
        v_ids := pgmq._hand_out(
            'fifo'::text, 'meter', quantity,
            CASE WHEN to_regproc('pgmq._meter_fifo') IS NULL THEN pgmq._choose_fifo(
                clock_timestamp(), quantity, null, quantity + '20'::bigint, '{}'
            ) END
        );
        IF pg_catalog.cardinality(v_ids) > 0 THEN
            RETURN QUERY
                DELETE FROM pgmq.q_fifo AS m
                WHERE m.msg_id = ANY (v_ids)
                    AND pgmq._may('DELETE', 'fifo'::text, 'pgmq.q_fifo')
                RETURNING
                    m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers;
        END IF;
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._enqueue_fifo(
    msg jsonb,
    msg_headers jsonb,
    visible_at timestamptz,
    OUT msg_id bigint
)
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    INSERT INTO pgmq.q_fifo AS q (enqueued_at, vt, message, headers)
    VALUES (
        CASE WHEN pgmq._may('INSERT', 'fifo'::text, 'pgmq.q_fifo') THEN now() END,
        pgmq._visible_from(visible_at),
        msg,
        msg_headers
    )
    RETURNING q.msg_id INTO msg_id;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._findgroups_fifo(
    as_of timestamptz,
    wanted integer,
    max_steps integer,
    INOUT place bigint,
    last_place bigint,
    OUT heads bigint[],
    OUT groups bigint[],
    OUT steps integer
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    WITH RECURSIVE step (id, head, visible, number, found) AS (
        SELECT place, null::bigint, false, 0, 0
        UNION ALL
        SELECT n.id, n.head, n.visible, s.number + 1, s.found + n.visible::integer
        FROM step AS s
        CROSS JOIN LATERAL (
            SELECT
                pgmq._group(q.headers) AS id,
                q.msg_id AS head,
                q.vt <= as_of OR q.vt <= q.enqueued_at AS visible
            FROM pgmq.q_fifo AS q
            WHERE pgmq._group(q.headers) > s.id
                AND pgmq._group(q.headers) <= last_place
                AND q.msg_id + 0 >= (SELECT pgmq._id_mark('pgmq.live_mark_fifo'))
            ORDER BY pgmq._group(q.headers), q.msg_id + 0
            LIMIT 1
        ) AS n
        WHERE s.number < max_steps AND s.found < wanted
    )
    SELECT
        max(s.id),
        coalesce(array_agg(s.head) FILTER (WHERE s.visible), '{}'),
        coalesce(array_agg(s.id) FILTER (WHERE s.visible), '{}'),
        max(s.number)
    INTO place, heads, groups, steps
    FROM step AS s;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._frontgroups_fifo(
    as_of timestamptz,
    breadth bigint,
    known bigint[],
    OUT heads bigint[],
    OUT still_free bigint[],
    OUT crowded bigint[],
    OUT complete boolean
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    IF breadth = 0 THEN
        heads := ARRAY(
            SELECT q.msg_id
            FROM pgmq.q_fifo AS q
            WHERE pgmq._may('UPDATE', 'fifo'::text, 'pgmq.q_fifo')
                AND (pgmq._group(q.headers), q.msg_id + 0)
                    >= (known[1], (SELECT pgmq._id_mark('pgmq.live_mark_fifo')))
                AND pgmq._group(q.headers) <= known[1]
            ORDER BY pgmq._group(q.headers), q.msg_id + 0
            LIMIT 1
        );
        RETURN;
    END IF;
    SELECT
        coalesce(array_agg(h.msg_id ORDER BY h.msg_id) FILTER (WHERE h.visible), '{}'),
        coalesce(array_agg(g.id) FILTER (WHERE h.visible AND g.id = ANY (known)), '{}'),
        (array_agg(g.id ORDER BY g.ready + g.due DESC))[:8],
        coalesce(sum(g.ready) < breadth AND sum(g.due) < breadth, true)
    INTO heads, still_free, crowded, complete
    FROM (
        SELECT c.id, sum(c.ready) AS ready, sum(c.due) AS due
        FROM (
            (
                SELECT pgmq._group(q.headers), 1, 0
                FROM pgmq.q_fifo AS q
                WHERE pgmq._may('UPDATE', 'fifo'::text, 'pgmq.q_fifo')
                    AND q.vt <= q.enqueued_at
                    AND q.msg_id >= (SELECT pgmq._id_mark('pgmq.ready_mark_fifo'))
                ORDER BY q.msg_id
                LIMIT breadth
            )
            UNION ALL
            (
                SELECT pgmq._group(q.headers), 0, 1
                FROM pgmq.q_fifo AS q
                WHERE q.vt > q.enqueued_at AND q.vt <= as_of
                    AND q.vt >= (SELECT pgmq._parked_mark('pgmq.parked_mark_fifo'))
                ORDER BY q.vt
                LIMIT breadth
            )
            UNION ALL
            SELECT k, 0, 0 FROM unnest(known) AS k
        ) AS c (id, ready, due)
        GROUP BY c.id
    ) AS g
    LEFT JOIN LATERAL (
        SELECT q.msg_id, q.vt <= as_of OR q.vt <= q.enqueued_at AS visible
        FROM pgmq.q_fifo AS q
        WHERE (pgmq._group(q.headers), q.msg_id + 0)
                >= (g.id, (SELECT pgmq._id_mark('pgmq.live_mark_fifo')))
            AND pgmq._group(q.headers) <= g.id
        ORDER BY pgmq._group(q.headers), q.msg_id + 0
        LIMIT 1
    ) AS h ON true;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._park_fifo(
    msg_ids bigint[],
    visible_at timestamptz,
    is_read boolean,
    alike anyelement
)
RETURNS SETOF anyelement
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    RETURN QUERY
        UPDATE pgmq.q_fifo AS m
        SET read_ct = CASE WHEN is_read THEN pgmq._next_receipt(m.read_ct) ELSE m.read_ct END,
            last_read_at = CASE WHEN is_read THEN clock_timestamp() ELSE m.last_read_at END,
            vt = pgmq._parked_until(visible_at, m.enqueued_at)
        WHERE m.msg_id = ANY (msg_ids)
            AND pgmq._may('UPDATE', 'fifo'::text, 'pgmq.q_fifo')
        RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._plangroups_fifo(
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
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    held := heads;
    IF to_lock IS NOT NULL THEN
        held := ARRAY(
            SELECT q.msg_id
            FROM pgmq.q_fifo AS q
            WHERE q.msg_id = ANY (heads)
                AND (q.vt <= as_of OR q.vt <= q.enqueued_at)
            ORDER BY q.msg_id
            LIMIT to_lock
            FOR UPDATE SKIP LOCKED
        );
    END IF;
    SELECT
        coalesce(
            array_agg(p.msg_id ORDER BY CASE WHEN in_rounds THEN p.round END, p.place, p.round),
            '{}'
        ),
        coalesce(
            array_agg(p.head ORDER BY CASE WHEN in_rounds THEN p.round END, p.place, p.round), '{}'
        ),
        max(p.round)
    INTO msg_ids, owners, deepest
    FROM (
        SELECT h.head, h.place, m.msg_id, m.round
        FROM unnest(held) WITH ORDINALITY AS h (head, place)
        INNER JOIN pgmq.q_fifo AS f ON h.head = f.msg_id
        CROSS JOIN LATERAL (
            SELECT
                n.msg_id,
                row_number() OVER () AS round,
                bool_and(n.visible AND n.msg_id >= h.head) OVER (
                    ROWS UNBOUNDED PRECEDING
                ) AS free
            FROM (
                SELECT q.msg_id, q.vt <= as_of OR q.vt <= q.enqueued_at AS visible
                FROM pgmq.q_fifo AS q
                WHERE (pgmq._group(q.headers), q.msg_id + 0) >= (
                        pgmq._group(f.headers), (SELECT pgmq._id_mark('pgmq.live_mark_fifo'))
                    )
                    AND pgmq._group(q.headers) <= pgmq._group(f.headers)
                    AND (
                        group_name IS NULL
                        OR coalesce(q.headers ->> 'x-pgmq-group', '_default_fifo_group')
                            = group_name
                    )
                ORDER BY pgmq._group(q.headers), q.msg_id + 0
                LIMIT depth
            ) AS n
        ) AS m
        WHERE m.free
        LIMIT CASE WHEN NOT in_rounds THEN quantity END
    ) AS p;
    msg_ids := msg_ids[:quantity];
    owners := owners[:quantity];
    IF msg_ids = owners AND to_lock IS NOT NULL THEN
        locked := msg_ids;      -- heads alone
    ELSIF cardinality(held) = to_lock THEN
        locked := ARRAY(
            SELECT q.msg_id
            FROM pgmq.q_fifo AS q
            WHERE q.msg_id = ANY (msg_ids)
                AND (q.vt <= as_of OR q.vt <= q.enqueued_at)
            ORDER BY q.msg_id
            FOR UPDATE SKIP LOCKED
        );
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._receive_fifo(seconds integer, quantity integer, alike anyelement)
RETURNS SETOF anyelement
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    RETURN QUERY
        UPDATE pgmq.q_fifo AS m
        SET read_ct = pgmq._next_receipt(m.read_ct),
            last_read_at = clock_timestamp(),
            vt = pgmq._lease_end(seconds, m.enqueued_at)
        WHERE m.msg_id = ANY (ARRAY(
                SELECT q.msg_id
                FROM pgmq.q_fifo AS q
                WHERE q.vt <= q.enqueued_at
                    AND q.msg_id >= (SELECT pgmq._id_mark('pgmq.ready_mark_fifo'))
                    AND NOT EXISTS (
                        SELECT FROM pgmq.q_fifo AS d
                        WHERE d.vt > d.enqueued_at
                            AND d.vt >= pgmq._parked_mark('pgmq.parked_mark_fifo')
                            AND d.vt <= pgmq._clock()
                    )
                ORDER BY q.msg_id
                LIMIT quantity
                FOR UPDATE SKIP LOCKED
            ))
            AND pgmq._may('UPDATE', 'fifo'::text, 'pgmq.q_fifo')
        RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers;
    IF NOT FOUND THEN
        RETURN QUERY
            SELECT p.*
            FROM pgmq._hand_out(
                'fifo'::text, 'admit', quantity,
                CASE WHEN to_regproc('pgmq._admit_fifo') IS NULL THEN pgmq._choose_fifo(
                    clock_timestamp(), quantity, null, quantity + '20'::bigint, '{}'
                ) END
            ) AS h (ids)
            CROSS JOIN LATERAL pgmq._park_fifo(
                h.ids, clock_timestamp() + pg_catalog.make_interval(secs => seconds), true, alike
            ) AS p
            WHERE pg_catalog.cardinality(h.ids) > 0;
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._remove_fifo(id bigint, receipt integer)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
AS $$
BEGIN
    DELETE FROM pgmq.q_fifo AS m
    WHERE m.msg_id = id AND (receipt IS NULL OR m.read_ct = receipt)
        AND pgmq._may('DELETE', 'fifo'::text, 'pgmq.q_fifo');
    RETURN FOUND;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._removemany_fifo(msg_ids bigint[], receipts integer[])
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    RETURN QUERY
        DELETE FROM pgmq.q_fifo AS m
        WHERE m.msg_id = ANY (msg_ids)
            AND (receipts IS NULL OR m.read_ct > 0 AND ((m.msg_id, m.read_ct) IN (
                SELECT l.id, l.receipt FROM unnest(msg_ids, receipts) AS l (id, receipt)
            )) IS TRUE)
            AND pgmq._may('DELETE', 'fifo'::text, 'pgmq.q_fifo')
        RETURNING m.msg_id;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._sendbatch_fifo(
    msgs jsonb[],
    msg_headers jsonb[],
    visible_at timestamptz
)
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 100
AS $$
BEGIN
    RETURN QUERY
        INSERT INTO pgmq.q_fifo (enqueued_at, vt, message, headers)
        SELECT now(), pgmq._visible_from(visible_at), u.msg, u.msg_header
        FROM unnest(msgs, msg_headers) AS u (msg, msg_header)
        WHERE pgmq._may('INSERT', 'fifo'::text, 'pgmq.q_fifo')
        RETURNING msg_id;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._shift_fifo(
    msg_ids bigint[],
    read_cts integer[],
    seconds integer,
    gives_back boolean,
    error text
)
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    RETURN QUERY
        UPDATE pgmq.q_fifo AS m
        SET vt = pgmq._parked_until(
                clock_timestamp() + pg_catalog.make_interval(secs => coalesce(
                    seconds,
                    0
                )),
                m.enqueued_at
            ),
            last_read_at = CASE WHEN NOT gives_back THEN m.last_read_at END,
            headers = pgmq._with_error(m.headers, error)
        WHERE m.msg_id = ANY (msg_ids) AND m.read_ct > 0
            AND ((m.msg_id, m.read_ct) IN (
                SELECT l.id, l.receipt FROM unnest(msg_ids, read_cts) AS l (id, receipt)
            )) IS TRUE
            AND pgmq._may('UPDATE', 'fifo'::text, 'pgmq.q_fifo')
        RETURNING m.msg_id;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._soonest_fifo(
    as_of timestamptz,
    since timestamptz,
    until timestamptz
)
RETURNS timestamptz
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    RETURN least(
        (
            SELECT f.vt
            FROM (
                SELECT q.vt, q.read_ct, q.enqueued_at, q.headers
                FROM pgmq.q_fifo AS q
                WHERE q.vt <= q.enqueued_at AND since IS NULL
                    AND q.msg_id >= pgmq._id_mark('pgmq.ready_mark_fifo')
                ORDER BY q.msg_id
                LIMIT 1000
            ) AS f
            LIMIT 1
        ),
        (
            SELECT f.vt
            FROM (
                SELECT q.vt, q.read_ct, q.enqueued_at, q.headers
                FROM pgmq.q_fifo AS q
                WHERE q.vt > q.enqueued_at AND q.vt <= until
                    AND q.vt >= coalesce(since, pgmq._parked_mark('pgmq.parked_mark_fifo'))
                ORDER BY q.vt
                LIMIT 1000
            ) AS f
            LIMIT 1
        )
    );
END
$$;
