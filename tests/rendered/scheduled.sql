CREATE OR REPLACE FUNCTION pgmq._advance_scheduled(sweep boolean DEFAULT false)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN pgmq._advance(
        'pgmq.q_scheduled', 'pgmq.ready_mark_scheduled', 'pgmq.parked_mark_scheduled',
        'pgmq.sweep_due_scheduled', sweep
    );
END
$$;

CREATE OR REPLACE FUNCTION pgmq._anchor_scheduled()
RETURNS pgmq.queue_record
LANGUAGE sql STABLE
AS $$
    SELECT null::pgmq.queue_record
$$;

CREATE OR REPLACE FUNCTION pgmq._archive_scheduled(id bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
AS $$
BEGIN
    WITH removed AS (
        DELETE FROM pgmq.q_scheduled AS m
        WHERE m.msg_id = id
            AND pgmq._may('DELETE', 'scheduled'::text, 'pgmq.q_scheduled')
        RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers
    )
    INSERT INTO pgmq.a_scheduled (msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers)
    SELECT r.* FROM removed AS r;
    RETURN FOUND;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._archivemany_scheduled(msg_ids bigint[], receipts integer[])
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    RETURN QUERY
        WITH removed AS (
            DELETE FROM pgmq.q_scheduled AS m
            WHERE m.msg_id = ANY (msg_ids)
                AND (receipts IS NULL OR m.read_ct > 0 AND ((m.msg_id, m.read_ct) IN (
                    SELECT l.id, l.receipt FROM unnest(msg_ids, receipts) AS l (id, receipt)
                )) IS TRUE)
                AND pgmq._may('DELETE', 'scheduled'::text, 'pgmq.q_scheduled')
            RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers
        )
        INSERT INTO pgmq.a_scheduled AS a (
            msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers
        )
        SELECT r.* FROM removed AS r
        RETURNING a.msg_id;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._choose_scheduled(
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
    PERFORM FROM pgmq.q_scheduled WHERE false;     -- locked first: see drop_queue
    IF pgmq._is_tick_due('pgmq.tick_due_scheduled') THEN
        PERFORM pgmq._fire('scheduled'::text);
    END IF;
    SELECT
        pg_catalog.cardinality(l.msg_ids), l.msg_ids,
        pgmq._is_sweep_due('pgmq.parked_mark_scheduled', 'pgmq.sweep_due_scheduled')
    INTO looked_at, locked, is_sweep_due
    FROM (
        SELECT ARRAY(
            SELECT u.msg_id
            FROM (
                (
                    SELECT q.msg_id
                    FROM pgmq.q_scheduled AS q
                    WHERE q.vt > q.enqueued_at AND q.vt <= as_of
                        AND q.vt >= pgmq._parked_mark('pgmq.parked_mark_scheduled')
                        AND (condition IS NULL OR q.message @> condition)
                        AND pgmq._may('UPDATE', 'scheduled'::text, 'pgmq.q_scheduled')
                    ORDER BY q.vt
                    LIMIT greatest(200, 2 * breadth)
                )
                UNION ALL
                (
                    SELECT q.msg_id
                    FROM pgmq.q_scheduled AS q
                    WHERE q.vt <= q.enqueued_at
                        AND q.msg_id >= pgmq._id_mark('pgmq.ready_mark_scheduled')
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
            FROM pgmq.q_scheduled AS q
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

CREATE OR REPLACE FUNCTION pgmq._consume_scheduled(quantity integer, alike anyelement)
RETURNS SETOF anyelement
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_ids bigint[];
BEGIN
    RETURN QUERY
        DELETE FROM pgmq.q_scheduled AS m
        WHERE m.msg_id = ANY (ARRAY(
                SELECT q.msg_id
                FROM pgmq.q_scheduled AS q
                WHERE q.vt <= q.enqueued_at
                    AND q.msg_id >= (SELECT pgmq._id_mark('pgmq.ready_mark_scheduled'))
                    AND NOT EXISTS (
                        SELECT FROM pgmq.q_scheduled AS d
                        WHERE d.vt > d.enqueued_at
                            AND d.vt >= pgmq._parked_mark('pgmq.parked_mark_scheduled')
                            AND d.vt <= pgmq._clock()
                    )
                ORDER BY q.msg_id
                LIMIT quantity
                FOR UPDATE SKIP LOCKED
            ))
            AND pgmq._may('DELETE', 'scheduled'::text, 'pgmq.q_scheduled')
        RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers;
    IF NOT FOUND THEN
        v_ids := pgmq._hand_out(
            'scheduled'::text, 'meter', quantity,
            CASE WHEN to_regproc('pgmq._meter_scheduled') IS NULL THEN pgmq._choose_scheduled(
                clock_timestamp(), quantity, null, quantity + '20'::bigint, '{}'
            ) END
        );
        IF pg_catalog.cardinality(v_ids) > 0 THEN
            RETURN QUERY
                DELETE FROM pgmq.q_scheduled AS m
                WHERE m.msg_id = ANY (v_ids)
                    AND pgmq._may('DELETE', 'scheduled'::text, 'pgmq.q_scheduled')
                RETURNING
                    m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers;
        END IF;
    END IF;
    IF pgmq._is_tick_due('pgmq.tick_due_scheduled') THEN
        PERFORM pgmq._fire('scheduled'::text);
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._enqueue_scheduled(
    msg jsonb,
    msg_headers jsonb,
    visible_at timestamptz,
    OUT msg_id bigint
)
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    INSERT INTO pgmq.q_scheduled AS q (enqueued_at, vt, message, headers)
    VALUES (
        CASE WHEN pgmq._may('INSERT', 'scheduled'::text, 'pgmq.q_scheduled') THEN now() END,
        pgmq._visible_from(visible_at),
        msg,
        msg_headers
    )
    RETURNING q.msg_id INTO msg_id;
    IF pgmq._is_tick_due('pgmq.tick_due_scheduled') THEN
        PERFORM pgmq._fire('scheduled'::text);
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._fire_scheduled()
RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = 100      -- no read waits for longer
AS $$
BEGIN
    RETURN pgmq._send_due('scheduled'::text, 'pgmq.q_scheduled', 'pgmq.tick_due_scheduled');
END
$$;

CREATE OR REPLACE FUNCTION pgmq._park_scheduled(
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
        UPDATE pgmq.q_scheduled AS m
        SET read_ct = CASE WHEN is_read THEN pgmq._next_receipt(m.read_ct) ELSE m.read_ct END,
            last_read_at = CASE WHEN is_read THEN clock_timestamp() ELSE m.last_read_at END,
            vt = pgmq._parked_until(visible_at, m.enqueued_at)
        WHERE m.msg_id = ANY (msg_ids)
            AND pgmq._may('UPDATE', 'scheduled'::text, 'pgmq.q_scheduled')
        RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._receive_scheduled(seconds integer, quantity integer, alike anyelement)
RETURNS SETOF anyelement
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    RETURN QUERY
        UPDATE pgmq.q_scheduled AS m
        SET read_ct = pgmq._next_receipt(m.read_ct),
            last_read_at = clock_timestamp(),
            vt = pgmq._lease_end(seconds, m.enqueued_at)
        WHERE m.msg_id = ANY (ARRAY(
                SELECT q.msg_id
                FROM pgmq.q_scheduled AS q
                WHERE q.vt <= q.enqueued_at
                    AND q.msg_id >= (SELECT pgmq._id_mark('pgmq.ready_mark_scheduled'))
                    AND NOT EXISTS (
                        SELECT FROM pgmq.q_scheduled AS d
                        WHERE d.vt > d.enqueued_at
                            AND d.vt >= pgmq._parked_mark('pgmq.parked_mark_scheduled')
                            AND d.vt <= pgmq._clock()
                    )
                ORDER BY q.msg_id
                LIMIT quantity
                FOR UPDATE SKIP LOCKED
            ))
            AND pgmq._may('UPDATE', 'scheduled'::text, 'pgmq.q_scheduled')
        RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers;
    IF NOT FOUND THEN
        RETURN QUERY
            SELECT p.*
            FROM pgmq._hand_out(
                'scheduled'::text, 'admit', quantity,
                CASE WHEN to_regproc('pgmq._admit_scheduled') IS NULL THEN pgmq._choose_scheduled(
                    clock_timestamp(), quantity, null, quantity + '20'::bigint, '{}'
                ) END
            ) AS h (ids)
            CROSS JOIN LATERAL pgmq._park_scheduled(
                h.ids, clock_timestamp() + pg_catalog.make_interval(secs => seconds), true, alike
            ) AS p
            WHERE pg_catalog.cardinality(h.ids) > 0;
    END IF;
    IF pgmq._is_tick_due('pgmq.tick_due_scheduled') THEN
        PERFORM pgmq._fire('scheduled'::text);
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._remove_scheduled(id bigint, receipt integer)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
AS $$
BEGIN
    DELETE FROM pgmq.q_scheduled AS m
    WHERE m.msg_id = id AND (receipt IS NULL OR m.read_ct = receipt)
        AND pgmq._may('DELETE', 'scheduled'::text, 'pgmq.q_scheduled');
    RETURN FOUND;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._removemany_scheduled(msg_ids bigint[], receipts integer[])
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    RETURN QUERY
        DELETE FROM pgmq.q_scheduled AS m
        WHERE m.msg_id = ANY (msg_ids)
            AND (receipts IS NULL OR m.read_ct > 0 AND ((m.msg_id, m.read_ct) IN (
                SELECT l.id, l.receipt FROM unnest(msg_ids, receipts) AS l (id, receipt)
            )) IS TRUE)
            AND pgmq._may('DELETE', 'scheduled'::text, 'pgmq.q_scheduled')
        RETURNING m.msg_id;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._sendbatch_scheduled(
    msgs jsonb[],
    msg_headers jsonb[],
    visible_at timestamptz
)
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 100
AS $$
BEGIN
    RETURN QUERY
        INSERT INTO pgmq.q_scheduled (enqueued_at, vt, message, headers)
        SELECT now(), pgmq._visible_from(visible_at), u.msg, u.msg_header
        FROM unnest(msgs, msg_headers) AS u (msg, msg_header)
        WHERE pgmq._may('INSERT', 'scheduled'::text, 'pgmq.q_scheduled')
        RETURNING msg_id;
    IF pgmq._is_tick_due('pgmq.tick_due_scheduled') THEN
        PERFORM pgmq._fire('scheduled'::text);
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._shift_scheduled(
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
        UPDATE pgmq.q_scheduled AS m
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
            AND pgmq._may('UPDATE', 'scheduled'::text, 'pgmq.q_scheduled')
        RETURNING m.msg_id;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._soonest_scheduled(
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
            SELECT min(t.next_at)
            FROM pgmq._ticks_of('scheduled'::text) AS t (next_at)
            WHERE t.next_at <= until AND as_of IS NOT NULL
        ),
        (
            SELECT f.vt
            FROM (
                SELECT q.vt, q.read_ct, q.enqueued_at, q.headers
                FROM pgmq.q_scheduled AS q
                WHERE q.vt <= q.enqueued_at AND since IS NULL
                    AND q.msg_id >= pgmq._id_mark('pgmq.ready_mark_scheduled')
                ORDER BY q.msg_id
                LIMIT 1000
            ) AS f
            LIMIT 1
        ),
        (
            SELECT f.vt
            FROM (
                SELECT q.vt, q.read_ct, q.enqueued_at, q.headers
                FROM pgmq.q_scheduled AS q
                WHERE q.vt > q.enqueued_at AND q.vt <= until
                    AND q.vt >= coalesce(since, pgmq._parked_mark('pgmq.parked_mark_scheduled'))
                ORDER BY q.vt
                LIMIT 1000
            ) AS f
            LIMIT 1
        )
    );
END
$$;
