CREATE OR REPLACE FUNCTION pgmq._admit_limited(
    quantity integer,
    condition jsonb,
    kind text,
    group_name text
)
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_table CONSTANT bigint := 'pgmq.q_limited'::regclass::oid;
    v_space CONSTANT integer := v_table - 2147483648;
    v_shown CONSTANT oid := (v_table + 2147483648) % 4294967296;
    v_limit CONSTANT integer := '100'::integer;
    v_first_xid CONSTANT bigint := pg_current_xact_id_if_assigned()::text::bigint;
    v_alone boolean;
    v_locks integer;        -- what this transaction has said by how many locks, and what is true
    v_said bigint;
    v_own bigint;
    v_leased bigint;
    v_others bigint;
    v_now timestamptz;
    v_ids bigint[];
BEGIN
    ASSERT pgmq._may('UPDATE', 'limited'::text, 'pgmq.q_limited');
    IF v_limit IS NULL THEN         -- it was switched off
        RETURN pgmq._meter_limited(quantity, condition, coalesce(kind, 'any'), group_name);
    END IF;
    LOCK TABLE ONLY pgmq.q_limited IN ROW EXCLUSIVE MODE;
    BEGIN
        v_alone := pg_try_advisory_lock(v_space, -1) OR pgmq._lock_leases('pgmq.q_limited');
        WITH locks AS MATERIALIZED (
            SELECT l.virtualtransaction AS holder, l.pid, l.relation, l.objid::bigint AS leased
            FROM pg_locks AS l
            WHERE l.database = (
                    SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()
                )
                AND (
                    l.locktype = 'relation' AND l.relation = v_table
                    AND l.mode = 'RowExclusiveLock'
                    OR l.locktype = 'advisory' AND l.classid = v_shown AND l.objsubid = 2
                    AND l.mode = 'ShareLock'
                )
        )
        SELECT
            coalesce(sum(m.locks) FILTER (WHERE m.pid = pg_backend_pid()), 0),
            coalesce(sum(m.leased) FILTER (WHERE m.pid = pg_backend_pid()), 0),
            coalesce(sum(m.leased) FILTER (WHERE m.pid IS DISTINCT FROM pg_backend_pid()), 0)
        INTO v_locks, v_said, v_others
        FROM (
            SELECT a.pid, count(*) AS locks, max(a.leased) AS leased
            FROM locks AS a
            WHERE a.relation IS NULL
                AND a.holder IN (SELECT t.holder FROM locks AS t WHERE t.relation IS NOT NULL)
            GROUP BY a.holder, a.pid
        ) AS m;
        v_now := clock_timestamp();
        SELECT
            count(*),
            count(*) FILTER (WHERE CASE
                WHEN m.last_read_at >= now() AND m.xids_after < 2147483648
                    THEN pg_xact_status((v_first_xid + m.xids_after)::text::xid8) = 'in progress'
            END)
        INTO v_leased, v_own
        FROM (
            SELECT
                q.last_read_at,
                (q.xmin::text::bigint - v_first_xid) & 4294967295 AS xids_after
            FROM pgmq.q_limited AS q
            WHERE q.last_read_at IS NOT NULL AND q.vt > v_now
            LIMIT v_limit
        ) AS m;
        quantity := least(quantity, v_limit - v_leased - v_others);
        IF quantity <= 0 THEN
            v_ids := '{}';
        ELSE
            v_ids := pgmq._meter_limited(quantity, condition, coalesce(kind, 'any'), group_name);
        END IF;
        v_own := v_own + cardinality(v_ids);
        IF v_ids <> '{}' AND v_own > v_said THEN
            PERFORM pg_advisory_xact_lock_shared(v_space, least(
                CASE WHEN v_locks < 16 THEN v_own ELSE v_own + v_own / 8 END, 2147483647
            )::integer);
        END IF;
        PERFORM pg_advisory_unlock(v_space, -1) WHERE v_alone;
    EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
        PERFORM pgmq._unlock(v_space, -1);
        RAISE;
    END;
    RETURN v_ids;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._advance_limited(sweep boolean DEFAULT false)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN pgmq._advance(
        'pgmq.q_limited', 'pgmq.ready_mark_limited', 'pgmq.parked_mark_limited',
        'pgmq.sweep_due_limited', sweep
    );
END
$$;

CREATE OR REPLACE FUNCTION pgmq._anchor_limited()
RETURNS pgmq.queue_record
LANGUAGE sql STABLE
AS $$
    SELECT null::pgmq.queue_record
$$;

CREATE OR REPLACE FUNCTION pgmq._archive_limited(id bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
AS $$
BEGIN
    WITH removed AS (
        DELETE FROM pgmq.q_limited AS m
        WHERE m.msg_id = id
            AND pgmq._may('DELETE', 'limited'::text, 'pgmq.q_limited')
        RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers
    )
    INSERT INTO pgmq.a_limited (msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers)
    SELECT r.* FROM removed AS r;
    RETURN FOUND;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._archivemany_limited(msg_ids bigint[], receipts integer[])
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    RETURN QUERY
        WITH removed AS (
            DELETE FROM pgmq.q_limited AS m
            WHERE m.msg_id = ANY (msg_ids)
                AND (receipts IS NULL OR m.read_ct > 0 AND ((m.msg_id, m.read_ct) IN (
                    SELECT l.id, l.receipt FROM unnest(msg_ids, receipts) AS l (id, receipt)
                )) IS TRUE)
                AND pgmq._may('DELETE', 'limited'::text, 'pgmq.q_limited')
            RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers
        )
        INSERT INTO pgmq.a_limited AS a (
            msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers
        )
        SELECT r.* FROM removed AS r
        RETURNING a.msg_id;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._choose_limited(
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
        pgmq._is_sweep_due('pgmq.parked_mark_limited', 'pgmq.sweep_due_limited')
    INTO looked_at, locked, is_sweep_due
    FROM (
        SELECT ARRAY(
            SELECT u.msg_id
            FROM (
                (
                    SELECT q.msg_id
                    FROM pgmq.q_limited AS q
                    WHERE q.vt > q.enqueued_at AND q.vt <= as_of
                        AND q.vt >= pgmq._parked_mark('pgmq.parked_mark_limited')
                        AND (condition IS NULL OR q.message @> condition)
                        AND pgmq._may('UPDATE', 'limited'::text, 'pgmq.q_limited')
                    ORDER BY q.vt
                    LIMIT greatest(200, 2 * breadth)
                )
                UNION ALL
                (
                    SELECT q.msg_id
                    FROM pgmq.q_limited AS q
                    WHERE q.vt <= q.enqueued_at
                        AND q.msg_id >= pgmq._id_mark('pgmq.ready_mark_limited')
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
            FROM pgmq.q_limited AS q
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

CREATE OR REPLACE FUNCTION pgmq._consume_limited(quantity integer, alike anyelement)
RETURNS SETOF anyelement
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    RETURN QUERY SELECT l.* FROM pgmq._remove('limited'::text, quantity) AS l;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._enqueue_limited(
    msg jsonb,
    msg_headers jsonb,
    visible_at timestamptz,
    OUT msg_id bigint
)
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    INSERT INTO pgmq.q_limited AS q (enqueued_at, vt, message, headers)
    VALUES (
        CASE WHEN pgmq._may('INSERT', 'limited'::text, 'pgmq.q_limited') THEN now() END,
        pgmq._visible_from(visible_at),
        msg,
        msg_headers
    )
    RETURNING q.msg_id INTO msg_id;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._gate_limited(
    msg_ids bigint[],
    OUT allowance integer,
    OUT opens_at timestamptz
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_limit CONSTANT numeric := '1000000'::integer;
    v_burst CONSTANT numeric := coalesce('2000000'::integer, '1000000'::integer);
    v_interval CONSTANT numeric := pgmq._duration(coalesce('00:00:01'::interval, '1 second'));
    v_now CONSTANT numeric := pgmq._microseconds(clock_timestamp());
    v_last numeric;
    v_state numeric;
BEGIN
    IF v_limit IS NULL THEN
        RETURN;
    END IF;
    v_last := coalesce(pg_sequence_last_value('pgmq.rate_limited'), 0);
    v_state := least(v_last, v_now + pgmq._divided_up(v_burst * v_interval, v_limit));
    IF cardinality(msg_ids) > 0 AND (
        pgmq._is_user('pgmq.q_limited', 'UPDATE')
        OR EXISTS (
            SELECT FROM pgmq.q_limited AS q
            WHERE q.msg_id = ANY (msg_ids) AND pgmq._is_own(q.xmax)
        )
    )
    THEN
        v_state := greatest(v_state, v_now)
            + pgmq._divided_up(cardinality(msg_ids) * v_interval, v_limit);
    END IF;
    IF v_state <> v_last AND msg_ids IS NOT NULL THEN
        PERFORM setval('pgmq.rate_limited', v_state::bigint);
    END IF;
    allowance := greatest(
        v_burst - pgmq._divided_up(greatest(v_state - v_now, 0) * v_limit, v_interval), 0
    );
    opens_at := to_timestamp(
        (v_state - div((v_burst - 1) * v_interval, v_limit))::double precision / 1e6
    );
END
$$;

CREATE OR REPLACE FUNCTION pgmq._meter_limited(
    quantity integer,
    condition jsonb,
    kind text,
    group_name text
)
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_space CONSTANT integer := pgmq._lock_space('pgmq.q_limited');
    v_alone boolean;
    v_ids bigint[] := '{}'::bigint[];
BEGIN
    ASSERT pgmq._may('UPDATE', 'limited'::text, 'pgmq.q_limited');
    IF '1000000'::integer IS NULL AND kind IS NULL THEN
        RETURN pgmq._claim('limited'::text, quantity, condition);
    END IF;
    LOCK TABLE ONLY pgmq.q_limited IN ROW EXCLUSIVE MODE;
    BEGIN
        v_alone := pg_try_advisory_lock(v_space, -1) OR pgmq._lock_leases('pgmq.q_limited');
        IF v_alone THEN
            quantity := least(quantity, (SELECT g.allowance FROM pgmq._gate_limited('{}') AS g));
        ELSE
            quantity := 0;
        END IF;
        IF quantity > 0 THEN
            IF kind IS NULL THEN
                v_ids := pgmq._claim('limited'::text, quantity, condition);
            ELSIF kind = 'any' THEN
                v_ids := pgmq._claim('limited'::text, quantity, condition);
            ELSE
                v_ids := pgmq._fifo_choose('limited'::text, quantity, kind, group_name);
            END IF;
        END IF;
        IF v_ids <> '{}' THEN
            PERFORM FROM pgmq._gate_limited(v_ids);
        END IF;
        PERFORM pg_advisory_unlock(v_space, -1) WHERE v_alone;
    EXCEPTION WHEN OTHERS OR query_canceled OR assert_failure THEN
        PERFORM pgmq._unlock(v_space, -1);
        RAISE;
    END;
    RETURN v_ids;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._park_limited(
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
        UPDATE pgmq.q_limited AS m
        SET read_ct = CASE WHEN is_read THEN pgmq._next_receipt(m.read_ct) ELSE m.read_ct END,
            last_read_at = CASE WHEN is_read THEN clock_timestamp() ELSE m.last_read_at END,
            vt = pgmq._parked_until(visible_at, m.enqueued_at)
        WHERE m.msg_id = ANY (msg_ids)
            AND pgmq._may('UPDATE', 'limited'::text, 'pgmq.q_limited')
        RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._receive_limited(seconds integer, quantity integer, alike anyelement)
RETURNS SETOF anyelement
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    RETURN QUERY SELECT l.* FROM pgmq._lease('limited'::text, seconds, quantity, null) AS l;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._remove_limited(id bigint, receipt integer)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
AS $$
BEGIN
    DELETE FROM pgmq.q_limited AS m
    WHERE m.msg_id = id AND (receipt IS NULL OR m.read_ct = receipt)
        AND pgmq._may('DELETE', 'limited'::text, 'pgmq.q_limited');
    RETURN FOUND;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._removemany_limited(msg_ids bigint[], receipts integer[])
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    RETURN QUERY
        DELETE FROM pgmq.q_limited AS m
        WHERE m.msg_id = ANY (msg_ids)
            AND (receipts IS NULL OR m.read_ct > 0 AND ((m.msg_id, m.read_ct) IN (
                SELECT l.id, l.receipt FROM unnest(msg_ids, receipts) AS l (id, receipt)
            )) IS TRUE)
            AND pgmq._may('DELETE', 'limited'::text, 'pgmq.q_limited')
        RETURNING m.msg_id;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._sendbatch_limited(
    msgs jsonb[],
    msg_headers jsonb[],
    visible_at timestamptz
)
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 100
AS $$
BEGIN
    RETURN QUERY
        INSERT INTO pgmq.q_limited (enqueued_at, vt, message, headers)
        SELECT now(), pgmq._visible_from(visible_at), u.msg, u.msg_header
        FROM unnest(msgs, msg_headers) AS u (msg, msg_header)
        WHERE pgmq._may('INSERT', 'limited'::text, 'pgmq.q_limited')
        RETURNING msg_id;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._shift_limited(
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
        UPDATE pgmq.q_limited AS m
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
            AND pgmq._may('UPDATE', 'limited'::text, 'pgmq.q_limited')
        RETURNING m.msg_id;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._soonest_limited(
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
                FROM pgmq.q_limited AS q
                WHERE q.vt <= q.enqueued_at AND since IS NULL
                    AND q.msg_id >= pgmq._id_mark('pgmq.ready_mark_limited')
                ORDER BY q.msg_id
                LIMIT 1000
            ) AS f
            LIMIT 1
        ),
        (
            SELECT f.vt
            FROM (
                SELECT q.vt, q.read_ct, q.enqueued_at, q.headers
                FROM pgmq.q_limited AS q
                WHERE q.vt > q.enqueued_at AND q.vt <= until
                    AND q.vt >= coalesce(since, pgmq._parked_mark('pgmq.parked_mark_limited'))
                ORDER BY q.vt
                LIMIT 1000
            ) AS f
            LIMIT 1
        )
    );
END
$$;
