CREATE OR REPLACE FUNCTION pgmq._advance_ranked(sweep boolean DEFAULT false)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN pgmq._advance(
        'pgmq.q_ranked', 'pgmq.ready_mark_ranked', 'pgmq.parked_mark_ranked',
        'pgmq.sweep_due_ranked', sweep
    );
END
$$;

CREATE OR REPLACE FUNCTION pgmq._anchor_ranked()
RETURNS pgmq.queue_record
LANGUAGE sql STABLE
AS $$
    SELECT null::pgmq.queue_record
$$;

CREATE OR REPLACE FUNCTION pgmq._archive_ranked(id bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
AS $$
BEGIN
    WITH removed AS (
        DELETE FROM pgmq.q_ranked AS m
        WHERE m.msg_id = id
            AND pgmq._may('DELETE', 'ranked'::text, 'pgmq.q_ranked')
        RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers
    )
    INSERT INTO pgmq.a_ranked (msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers)
    SELECT r.* FROM removed AS r;
    RETURN FOUND;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._archivemany_ranked(msg_ids bigint[], receipts integer[])
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    RETURN QUERY
        WITH removed AS (
            DELETE FROM pgmq.q_ranked AS m
            WHERE m.msg_id = ANY (msg_ids)
                AND (receipts IS NULL OR m.read_ct > 0 AND ((m.msg_id, m.read_ct) IN (
                    SELECT l.id, l.receipt FROM unnest(msg_ids, receipts) AS l (id, receipt)
                )) IS TRUE)
                AND pgmq._may('DELETE', 'ranked'::text, 'pgmq.q_ranked')
            RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers
        )
        INSERT INTO pgmq.a_ranked AS a (
            msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers
        )
        SELECT r.* FROM removed AS r
        RETURNING a.msg_id;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._choose_ranked(
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
        pg_catalog.cardinality(l.msg_ids),
        ARRAY(
            SELECT m.msg_id
            FROM pg_catalog.unnest(l.msg_ids) AS u (id)
            CROSS JOIN LATERAL (
                SELECT q.msg_id
                FROM pgmq.q_ranked AS q
                WHERE q.msg_id = u.id
                    AND (q.msg_id IN (SELECT h.id FROM pg_catalog.unnest(held) AS h (id)))
                        IS NOT TRUE
                    AND (q.vt <= as_of OR q.vt <= q.enqueued_at)
                    AND (condition IS NULL OR q.message @> condition)   -- see the other choose
                    AND pgmq._may('UPDATE', 'ranked'::text, 'pgmq.q_ranked')
                FOR UPDATE SKIP LOCKED
            ) AS m
            LIMIT quantity
        ),
        pgmq._is_sweep_due('pgmq.parked_mark_ranked', 'pgmq.sweep_due_ranked')
    INTO looked_at, locked, is_sweep_due
    FROM (
        SELECT pgmq._ranked_ranked(as_of, breadth, condition) AS msg_ids
        OFFSET 0        -- once, for both
    ) AS l;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._consume_ranked(quantity integer, alike anyelement)
RETURNS SETOF anyelement
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    RETURN QUERY SELECT l.* FROM pgmq._remove('ranked'::text, quantity) AS l;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._enqueue_ranked(
    msg jsonb,
    msg_headers jsonb,
    visible_at timestamptz,
    OUT msg_id bigint
)
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    INSERT INTO pgmq.q_ranked AS q (enqueued_at, vt, message, headers)
    VALUES (
        CASE WHEN pgmq._may('INSERT', 'ranked'::text, 'pgmq.q_ranked') THEN now() END,
        pgmq._visible_from(visible_at),
        msg,
        msg_headers
    )
    RETURNING q.msg_id INTO msg_id;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._park_ranked(
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
        UPDATE pgmq.q_ranked AS m
        SET read_ct = CASE WHEN is_read THEN pgmq._next_receipt(m.read_ct) ELSE m.read_ct END,
            last_read_at = CASE WHEN is_read THEN clock_timestamp() ELSE m.last_read_at END,
            vt = pgmq._parked_until(visible_at, m.enqueued_at)
        WHERE m.msg_id = ANY (msg_ids)
            AND pgmq._may('UPDATE', 'ranked'::text, 'pgmq.q_ranked')
        RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._ranked_ranked(
    as_of timestamptz,
    breadth bigint,
    condition jsonb
)
RETURNS bigint[]
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    RETURN ARRAY(
        SELECT m.msg_id
        FROM (
            VALUES
                (9, 'pgmq.ready9_mark_ranked'::regclass, 'pgmq.parked9_mark_ranked'::regclass),
                (8, 'pgmq.ready8_mark_ranked', 'pgmq.parked8_mark_ranked'),
                (7, 'pgmq.ready7_mark_ranked', 'pgmq.parked7_mark_ranked'),
                (6, 'pgmq.ready6_mark_ranked', 'pgmq.parked6_mark_ranked'),
                (5, 'pgmq.ready5_mark_ranked', 'pgmq.parked5_mark_ranked'),
                (4, 'pgmq.ready4_mark_ranked', 'pgmq.parked4_mark_ranked'),
                (3, 'pgmq.ready3_mark_ranked', 'pgmq.parked3_mark_ranked'),
                (2, 'pgmq.ready2_mark_ranked', 'pgmq.parked2_mark_ranked'),
                (1, 'pgmq.ready1_mark_ranked', 'pgmq.parked1_mark_ranked'),
                (0, 'pgmq.ready0_mark_ranked', 'pgmq.parked0_mark_ranked')
        ) AS p (priority, ready_mark, parked_mark)
        CROSS JOIN LATERAL (
            SELECT u.msg_id, u.headers, u.enqueued_at
            FROM (
                (
                    SELECT q.msg_id, q.headers, q.enqueued_at
                    FROM pgmq.q_ranked AS q
                    WHERE pgmq._priority(q.headers) = p.priority
                        AND q.vt > q.enqueued_at AND q.vt <= as_of
                        AND q.vt >= pgmq._parked_mark(p.parked_mark)
                        AND (condition IS NULL OR q.message @> condition)
                    ORDER BY q.vt
                    LIMIT greatest(200, 2 * breadth)
                )
                UNION ALL
                (
                    SELECT q.msg_id, q.headers, q.enqueued_at
                    FROM pgmq.q_ranked AS q
                    WHERE pgmq._priority(q.headers) = p.priority
                        AND q.vt <= q.enqueued_at
                        AND q.msg_id >= pgmq._id_mark(p.ready_mark)
                        AND (condition IS NULL OR q.message @> condition)
                    ORDER BY q.msg_id
                    LIMIT breadth
                )
            ) AS u
            ORDER BY u.msg_id
            LIMIT breadth
        ) AS m
        ORDER BY pgmq._precedence(m.headers, m.enqueued_at, '01:00:00'::interval), m.msg_id
        LIMIT breadth
    );
END
$$;

CREATE OR REPLACE FUNCTION pgmq._receive_ranked(seconds integer, quantity integer, alike anyelement)
RETURNS SETOF anyelement
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    RETURN QUERY SELECT l.* FROM pgmq._lease('ranked'::text, seconds, quantity, null) AS l;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._remove_ranked(id bigint, receipt integer)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
AS $$
BEGIN
    DELETE FROM pgmq.q_ranked AS m
    WHERE m.msg_id = id AND (receipt IS NULL OR m.read_ct = receipt)
        AND pgmq._may('DELETE', 'ranked'::text, 'pgmq.q_ranked');
    RETURN FOUND;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._removemany_ranked(msg_ids bigint[], receipts integer[])
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    RETURN QUERY
        DELETE FROM pgmq.q_ranked AS m
        WHERE m.msg_id = ANY (msg_ids)
            AND (receipts IS NULL OR m.read_ct > 0 AND ((m.msg_id, m.read_ct) IN (
                SELECT l.id, l.receipt FROM unnest(msg_ids, receipts) AS l (id, receipt)
            )) IS TRUE)
            AND pgmq._may('DELETE', 'ranked'::text, 'pgmq.q_ranked')
        RETURNING m.msg_id;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._sendbatch_ranked(
    msgs jsonb[],
    msg_headers jsonb[],
    visible_at timestamptz
)
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 100
AS $$
BEGIN
    RETURN QUERY
        INSERT INTO pgmq.q_ranked (enqueued_at, vt, message, headers)
        SELECT now(), pgmq._visible_from(visible_at), u.msg, u.msg_header
        FROM unnest(msgs, msg_headers) AS u (msg, msg_header)
        WHERE pgmq._may('INSERT', 'ranked'::text, 'pgmq.q_ranked')
        RETURNING msg_id;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._shift_ranked(
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
        UPDATE pgmq.q_ranked AS m
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
            AND pgmq._may('UPDATE', 'ranked'::text, 'pgmq.q_ranked')
        RETURNING m.msg_id;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._soonest_ranked(
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
                FROM pgmq.q_ranked AS q
                WHERE q.vt <= q.enqueued_at AND since IS NULL
                    AND q.msg_id >= pgmq._id_mark('pgmq.ready_mark_ranked')
                ORDER BY q.msg_id
                LIMIT 1000
            ) AS f
            LIMIT 1
        ),
        (
            SELECT f.vt
            FROM (
                SELECT q.vt, q.read_ct, q.enqueued_at, q.headers
                FROM pgmq.q_ranked AS q
                WHERE q.vt > q.enqueued_at AND q.vt <= until
                    AND q.vt >= coalesce(since, pgmq._parked_mark('pgmq.parked_mark_ranked'))
                ORDER BY q.vt
                LIMIT 1000
            ) AS f
            LIMIT 1
        )
    );
END
$$;
