CREATE OR REPLACE FUNCTION pgmq._admit_by_time_policy(
    quantity integer,
    condition jsonb,
    kind text,
    group_name text
)
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_table CONSTANT bigint := 'pgmq.q_by_time_policy'::regclass::oid;
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
    ASSERT pgmq._may('UPDATE', 'by_time_policy'::text, 'pgmq.q_by_time_policy');
    IF v_limit IS NULL THEN         -- it was switched off
        RETURN CASE
            WHEN kind IS NULL THEN pgmq._claim('by_time_policy'::text, quantity, condition)
            ELSE pgmq._fifo_choose('by_time_policy'::text, quantity, kind, group_name)
        END;
    END IF;
    LOCK TABLE ONLY pgmq.q_by_time_policy IN ROW EXCLUSIVE MODE;
    BEGIN
        v_alone := pg_try_advisory_lock(v_space, -1) OR pgmq._lock_leases('pgmq.q_by_time_policy');
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
            FROM pgmq.q_by_time_policy AS q
            WHERE q.enqueued_at BETWEEN pgmq._first_time('pgmq.floor_mark_by_time_policy') AND pgmq._last_time('pgmq.top_mark_by_time_policy') AND q.last_read_at IS NOT NULL AND q.vt > v_now
            LIMIT v_limit
        ) AS m;
        quantity := least(quantity, v_limit - v_leased - v_others);
        IF quantity <= 0 THEN
            v_ids := '{}';
        ELSIF kind IS NULL THEN
            v_ids := pgmq._claim('by_time_policy'::text, quantity, condition);
        ELSE
            v_ids := pgmq._fifo_choose('by_time_policy'::text, quantity, kind, group_name);
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

CREATE OR REPLACE FUNCTION pgmq._advance_by_time_policy(sweep boolean DEFAULT false)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN pgmq._advance(
        'pgmq.q_by_time_policy', 'pgmq.ready_mark_by_time_policy', 'pgmq.parked_mark_by_time_policy',
        'pgmq.sweep_due_by_time_policy', sweep
    );
END
$$;

CREATE OR REPLACE FUNCTION pgmq._anchor_by_time_policy()
RETURNS pgmq.queue_record
LANGUAGE sql STABLE
AS $$
    SELECT null::pgmq.queue_record
$$;

CREATE OR REPLACE FUNCTION pgmq._archive_by_time_policy(id bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    v_found boolean;
    v_everywhere boolean := false;
BEGIN
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_by_time_policy');
    END IF;
    LOOP
    WITH removed AS (
        DELETE FROM pgmq.q_by_time_policy AS m
        WHERE m.msg_id = id
            AND (v_everywhere OR m.enqueued_at BETWEEN pgmq._first_time('pgmq.floor_mark_by_time_policy') AND pgmq._last_time('pgmq.top_mark_by_time_policy'))
            AND pgmq._may('DELETE', 'by_time_policy'::text, 'pgmq.q_by_time_policy')
        RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers
    )
    INSERT INTO pgmq.a_by_time_policy (msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers)
    SELECT r.* FROM removed AS r;
    EXIT WHEN FOUND OR v_everywhere;
    v_everywhere := true;
    END LOOP;
    v_found := FOUND;
    IF pgmq._chance(1, 32) THEN
        PERFORM pgmq._upkeep('by_time_policy'::text, 1);
    END IF;
    RETURN v_found;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._archivemany_by_time_policy(msg_ids bigint[], receipts integer[])
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_everywhere boolean := false;
    v_count integer;
    v_missing integer := pg_catalog.cardinality(msg_ids);
BEGIN
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_by_time_policy');
    END IF;
    LOOP
    RETURN QUERY
        WITH removed AS (
            DELETE FROM pgmq.q_by_time_policy AS m
            WHERE m.msg_id = ANY (msg_ids)
                AND (v_everywhere OR m.enqueued_at BETWEEN pgmq._first_time('pgmq.floor_mark_by_time_policy') AND pgmq._last_time('pgmq.top_mark_by_time_policy'))
                AND (receipts IS NULL OR m.read_ct > 0 AND ((m.msg_id, m.read_ct) IN (
                    SELECT l.id, l.receipt FROM unnest(msg_ids, receipts) AS l (id, receipt)
                )) IS TRUE)
                AND pgmq._may('DELETE', 'by_time_policy'::text, 'pgmq.q_by_time_policy')
            RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers
        )
        INSERT INTO pgmq.a_by_time_policy AS a (
            msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers
        )
        SELECT r.* FROM removed AS r
        RETURNING a.msg_id;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_missing := v_missing - v_count;
    EXIT WHEN v_missing = 0 OR v_everywhere;
    v_everywhere := true;
    END LOOP;
    IF pgmq._chance(pg_catalog.cardinality(msg_ids), 32) THEN
        PERFORM pgmq._upkeep('by_time_policy'::text, pg_catalog.cardinality(msg_ids));
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._bury_by_time_policy(msg_ids bigint[])
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_dead bigint[] := '{}'::bigint[];
    v_moved bigint[];
    v_error text;
BEGIN
    IF NOT EXISTS (
        SELECT FROM pgmq.q_by_time_policy AS q
        WHERE q.enqueued_at BETWEEN pgmq._first_time('pgmq.floor_mark_by_time_policy') AND pgmq._last_time('pgmq.top_mark_by_time_policy') AND q.msg_id = ANY (msg_ids)
            AND pgmq._is_dead(
                q.read_ct, q.enqueued_at, q.headers, v_now, '9'::integer, '01:00:00'::interval
            )
    )
        OR NOT pgmq._is_user('pgmq.q_by_time_policy', 'UPDATE')
        AND NOT EXISTS (
            SELECT FROM pgmq.q_by_time_policy AS q
            WHERE q.enqueued_at BETWEEN pgmq._first_time('pgmq.floor_mark_by_time_policy') AND pgmq._last_time('pgmq.top_mark_by_time_policy') AND q.msg_id = ANY (msg_ids) AND pgmq._is_own(q.xmax)
        )
    THEN
        RETURN v_dead;
    END IF;
    msg_ids := msg_ids || pgmq._visible('by_time_policy'::text, v_now, 200, null);
    v_dead := ARRAY(
        SELECT q.msg_id
        FROM pgmq.q_by_time_policy AS q
        WHERE q.enqueued_at BETWEEN pgmq._first_time('pgmq.floor_mark_by_time_policy') AND pgmq._last_time('pgmq.top_mark_by_time_policy') AND q.msg_id = ANY (msg_ids)
            AND (q.vt <= v_now OR q.vt <= q.enqueued_at)
            AND pgmq._is_dead(
                q.read_ct, q.enqueued_at, q.headers, v_now, '9'::integer, '01:00:00'::interval
            )
        ORDER BY q.msg_id
        FOR UPDATE SKIP LOCKED
    );
    BEGIN
        WITH removed AS (
            DELETE FROM pgmq.q_by_time_policy AS m
            WHERE m.enqueued_at BETWEEN pgmq._first_time('pgmq.floor_mark_by_time_policy') AND pgmq._last_time('pgmq.top_mark_by_time_policy') AND m.msg_id = ANY (v_dead)
            RETURNING
                m.msg_id, m.message,
                pgmq._dead_letter(
                    m.headers, 'by_time_policy'::text, m.msg_id, m.read_ct,
                    CASE
                        WHEN pgmq._expires_at(m.enqueued_at, m.headers, '01:00:00'::interval) <= v_now
                            THEN 'expired'
                        ELSE 'max_receives'
                    END,
                    m.enqueued_at
                ) AS headers
        )
        INSERT INTO pgmq."q_dead ""letters""" (enqueued_at, vt, message, headers)
        SELECT now(), now(), r.message, r.headers
        FROM removed AS r
        ORDER BY r.msg_id;
        RETURN v_dead;
    EXCEPTION WHEN OTHERS OR assert_failure THEN
        IF pgmq._is_passing(SQLSTATE) THEN
            RAISE;
        END IF;
        v_moved := '{}'::bigint[];
        v_error := SQLERRM;
    END;
    IF cardinality(v_moved) < cardinality(v_dead) THEN
        UPDATE pgmq.q_by_time_policy AS m
        SET vt = greatest(
                clock_timestamp() + interval '10 minutes', m.enqueued_at + interval '1 s'
            ),
            last_read_at = CASE WHEN '100'::integer IS NULL THEN m.last_read_at END
        WHERE m.enqueued_at BETWEEN pgmq._first_time('pgmq.floor_mark_by_time_policy') AND pgmq._last_time('pgmq.top_mark_by_time_policy') AND m.msg_id = ANY (v_dead)
            AND (m.msg_id IN (SELECT u.id FROM unnest(v_moved) AS u (id))) IS NOT TRUE;
        RAISE WARNING '% messages of queue "%" cannot be moved away and are hidden for ten minutes: %',
            cardinality(v_dead) - cardinality(v_moved), 'by_time_policy'::text,
            coalesce(v_error, 'the archive has their msg_ids already')
            USING HINT = 'They must not be handed out any more. SELECT * FROM pgmq.doctor() may say why.';
    END IF;
    RETURN v_dead;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._choose_by_time_policy(
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
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    SELECT
        pg_catalog.cardinality(l.msg_ids), l.msg_ids,
        pgmq._is_sweep_due('pgmq.parked_mark_by_time_policy', 'pgmq.sweep_due_by_time_policy')
    INTO looked_at, locked, is_sweep_due
    FROM (
        SELECT ARRAY(
            SELECT u.msg_id
            FROM (
                (
                    SELECT q.msg_id
                    FROM pgmq.q_by_time_policy AS q
                    WHERE q.enqueued_at BETWEEN pgmq._first_time('pgmq.floor_mark_by_time_policy') AND pgmq._last_time('pgmq.top_mark_by_time_policy') AND q.vt > q.enqueued_at AND q.vt <= as_of
                        AND q.vt >= pgmq._parked_mark('pgmq.parked_mark_by_time_policy')
                        AND (condition IS NULL OR q.message @> condition)
                        AND pgmq._may('UPDATE', 'by_time_policy'::text, 'pgmq.q_by_time_policy')
                    ORDER BY q.vt
                    LIMIT greatest(200, 2 * breadth)
                )
                UNION ALL
                (
                    SELECT q.msg_id
                    FROM pgmq.q_by_time_policy AS q
                    WHERE q.enqueued_at BETWEEN pgmq._first_time('pgmq.floor_mark_by_time_policy') AND pgmq._last_time('pgmq.top_mark_by_time_policy') AND q.vt <= q.enqueued_at
                        AND q.msg_id >= pgmq._id_mark('pgmq.ready_mark_by_time_policy')
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
            FROM pgmq.q_by_time_policy AS q
            WHERE q.enqueued_at BETWEEN pgmq._first_time('pgmq.floor_mark_by_time_policy') AND pgmq._last_time('pgmq.top_mark_by_time_policy') AND q.msg_id = ANY (locked)
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

CREATE OR REPLACE FUNCTION pgmq._consume_by_time_policy(quantity integer, alike anyelement)
RETURNS SETOF anyelement
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    RETURN QUERY SELECT l.* FROM pgmq._remove('by_time_policy'::text, quantity) AS l;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._enqueue_by_time_policy(
    msg jsonb,
    msg_headers jsonb,
    visible_at timestamptz,
    OUT msg_id bigint
)
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    IF msg_headers ->> 'x-pgmq-dedup-id'::text IS NOT NULL THEN
        SELECT s.msg_id INTO msg_id
        FROM pgmq._sendonce_by_time_policy(msg, msg_headers, visible_at, false) AS s;
        RETURN;
    END IF;
    INSERT INTO pgmq.q_by_time_policy AS q (enqueued_at, vt, message, headers)
    VALUES (
        CASE WHEN pgmq._may('INSERT', 'by_time_policy'::text, 'pgmq.q_by_time_policy') THEN now() END,
        pgmq._visible_from(visible_at),
        msg,
        msg_headers
    )
    RETURNING q.msg_id INTO msg_id;
    IF pgmq._chance(1, 256) THEN
        PERFORM pgmq._tend_by_time_policy();
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._forget_by_time_policy(quantity integer)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_now CONSTANT timestamptz := clock_timestamp();
    v_count bigint;
    v_sum bigint := 0;
BEGIN
    IF NOT pgmq._is_user('pgmq.q_by_time_policy', 'DELETE') THEN
        RETURN 0;
    END IF;
    IF '01:00:00'::interval IS NOT NULL THEN
        DELETE FROM pgmq.a_by_time_policy AS a
        WHERE a.msg_id = ANY (ARRAY(
            SELECT o.msg_id
            FROM pgmq.a_by_time_policy AS o
            WHERE o.archived_at < v_now - '01:00:00'::interval
            ORDER BY o.archived_at
            LIMIT quantity
            FOR UPDATE SKIP LOCKED
        ));
        GET DIAGNOSTICS v_count = ROW_COUNT;
        v_sum := v_sum + v_count;
    END IF;
    DELETE FROM pgmq.dedup_by_time_policy AS d
    WHERE d.dedup_key = ANY (ARRAY(
        SELECT o.dedup_key
        FROM pgmq.dedup_by_time_policy AS o
        WHERE o.sent_at < v_now - '01:00:00'::interval
        ORDER BY o.sent_at
        LIMIT quantity
        FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_sum := v_sum + v_count;
    RETURN v_sum;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._front_by_time_policy(quantity integer)
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_now CONSTANT timestamptz := clock_timestamp();
    v_ids bigint[];
BEGIN
    v_ids := ARRAY(
        SELECT q.msg_id
        FROM pgmq.q_by_time_policy AS q
        WHERE q.enqueued_at BETWEEN pgmq._first_time('pgmq.floor_mark_by_time_policy') AND pgmq._time_front('pgmq.floor_mark_by_time_policy', '1 day', pgmq._last_time('pgmq.top_mark_by_time_policy')) AND q.vt <= q.enqueued_at
            AND q.msg_id >= (SELECT pgmq._id_mark('pgmq.ready_mark_by_time_policy'))
            AND NOT EXISTS (
                SELECT FROM pgmq.q_by_time_policy AS d
                WHERE d.enqueued_at BETWEEN pgmq._first_time('pgmq.floor_mark_by_time_policy') AND pgmq._time_front('pgmq.floor_mark_by_time_policy', '1 day', pgmq._last_time('pgmq.top_mark_by_time_policy')) AND d.vt > d.enqueued_at AND d.vt <= v_now
                    AND d.vt >= pgmq._parked_mark('pgmq.parked_mark_by_time_policy')
            )
            AND pgmq._may('UPDATE', 'by_time_policy'::text, 'pgmq.q_by_time_policy')
        ORDER BY q.msg_id
        LIMIT quantity
        FOR UPDATE SKIP LOCKED
    );
    IF (pg_catalog.cardinality(v_ids) = quantity) IS NOT TRUE
        AND (SELECT pgmq._time_front('pgmq.floor_mark_by_time_policy', '1 day', pgmq._last_time('pgmq.top_mark_by_time_policy')) < pgmq._last_time('pgmq.top_mark_by_time_policy') WHERE v_ids IS NOT NULL)
    THEN
        RETURN '{}'::bigint[];
    END IF;
    RETURN v_ids;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._keep_by_time_policy()
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER      -- whoever reads need not own the tables
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_space CONSTANT integer := pgmq._lock_space('pgmq.q_by_time_policy');
    v_now CONSTANT bigint := pgmq._microseconds(clock_timestamp());
BEGIN
    IF NOT pgmq._may_tend('pgmq.q_by_time_policy')     -- whoever calls it by hand
        OR NOT pg_try_advisory_xact_lock(v_space, -3)
    THEN
        RETURN;
    END IF;
    BEGIN
        PERFORM pgmq._maintain_partitions('by_time_policy'::text, false, thorough => false);
        PERFORM pgmq._maintain_partitions('by_time_policy'::text, true, thorough => false);
        PERFORM setval('pgmq.tend_due_by_time_policy', v_now + least(
            60000000,
            greatest(1000000, 50 * (pgmq._microseconds(clock_timestamp()) - v_now))
        ));
    EXCEPTION
        WHEN lock_not_available OR deadlock_detected THEN
            NULL;       -- others are at work: later
        WHEN OTHERS OR query_canceled OR assert_failure THEN
            RAISE WARNING 'upkeep of the partitions of queue "%" failed: %',
                'by_time_policy'::text, SQLERRM;
    END;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._park_by_time_policy(
    msg_ids bigint[],
    visible_at timestamptz,
    is_read boolean,
    alike anyelement
)
RETURNS SETOF anyelement
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_beyond boolean := false;
    v_count integer;
    v_missing integer := pg_catalog.cardinality(msg_ids);
BEGIN
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_by_time_policy');
    END IF;
    LOOP
    RETURN QUERY
        WITH parked AS (
            UPDATE pgmq.q_by_time_policy AS m
            SET read_ct = CASE WHEN is_read THEN pgmq._next_receipt(m.read_ct) ELSE m.read_ct END,
                last_read_at = CASE WHEN is_read THEN clock_timestamp() ELSE m.last_read_at END,
                vt = pgmq._parked_until(visible_at, m.enqueued_at)
            WHERE m.msg_id = ANY (msg_ids)
                AND (m.enqueued_at BETWEEN pgmq._first_time('pgmq.floor_mark_by_time_policy') AND pgmq._last_time('pgmq.top_mark_by_time_policy')) <> v_beyond
                AND pgmq._may('UPDATE', 'by_time_policy'::text, 'pgmq.q_by_time_policy')
            RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers
        )
        SELECT p.* FROM parked AS p ORDER BY p.msg_id;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_missing := v_missing - v_count;
    EXIT WHEN v_missing = 0 OR v_beyond;
    v_beyond := true;
    END LOOP;
    IF is_read AND pgmq._chance(pg_catalog.cardinality(msg_ids), 32) THEN
        PERFORM pgmq._tend_by_time_policy();
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._recall_by_time_policy(keys text[])
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_key text;
    v_msg_id bigint;
    v_msg_ids bigint[] := '{}'::bigint[];
BEGIN
    IF '01:00:00'::interval IS NULL THEN     -- it was switched off
        RETURN array_fill(null::bigint, ARRAY[cardinality(keys)]);
    END IF;
    FOREACH v_key IN ARRAY keys LOOP
        IF octet_length(v_key) > 1024 THEN
            RAISE EXCEPTION 'dedup key "%..." must have up to 1024 bytes, not %',
                left(v_key, 40), octet_length(v_key)
                USING ERRCODE = 'string_data_right_truncation', HINT = 'Send a hash of it instead.';
        END IF;
        v_msg_id := null;
        SELECT d.msg_id INTO v_msg_id
        FROM pgmq.dedup_by_time_policy AS d
        WHERE d.dedup_key = v_key AND d.sent_at > clock_timestamp() - '01:00:00'::interval;
        v_msg_ids := v_msg_ids || v_msg_id;
    END LOOP;
    RETURN v_msg_ids;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._receive_by_time_policy(seconds integer, quantity integer, alike anyelement)
RETURNS SETOF anyelement
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    RETURN QUERY SELECT l.* FROM pgmq._lease('by_time_policy'::text, seconds, quantity, null) AS l;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._remember_by_time_policy(msg_ids bigint[])
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_message record;
    v_own xid := pg_current_xact_id()::xid;
    v_counts bigint;
BEGIN
    IF '01:00:00'::interval IS NULL THEN     -- it was switched off
        RETURN msg_ids;
    END IF;
    FOR v_message IN
        SELECT
            q.msg_id, q.xmin AS stored_by,
            (q.headers ->> 'x-pgmq-dedup-id') COLLATE "C" AS dedup_key
        FROM pgmq.q_by_time_policy AS q
        WHERE q.enqueued_at BETWEEN pgmq._first_time('pgmq.floor_mark_by_time_policy') AND pgmq._last_time('pgmq.top_mark_by_time_policy') AND q.msg_id = ANY (msg_ids)
            AND q.headers ->> 'x-pgmq-dedup-id' IS NOT NULL
        ORDER BY 3
    LOOP
        IF v_message.stored_by <> v_own THEN
            CONTINUE WHEN NOT pgmq._is_own(v_message.stored_by);
            v_own := v_message.stored_by;
        END IF;
        LOOP
            v_counts := v_message.msg_id;
            INSERT INTO pgmq.dedup_by_time_policy (dedup_key, msg_id, sent_at)
            VALUES (v_message.dedup_key, v_message.msg_id, clock_timestamp())
            ON CONFLICT DO NOTHING;
            EXIT WHEN FOUND;
            UPDATE pgmq.dedup_by_time_policy AS d
            SET msg_id = v_message.msg_id, sent_at = clock_timestamp()
            WHERE d.dedup_key = v_message.dedup_key
                AND (d.msg_id IS NULL OR d.sent_at <= clock_timestamp() - '01:00:00'::interval);
            EXIT WHEN FOUND;
            SELECT d.msg_id INTO v_counts
            FROM pgmq.dedup_by_time_policy AS d
            WHERE d.dedup_key = v_message.dedup_key;
            EXIT WHEN FOUND AND v_counts IS NOT NULL;
        END LOOP;
        IF v_counts <> v_message.msg_id THEN
            DELETE FROM pgmq.q_by_time_policy AS m
            WHERE m.enqueued_at BETWEEN pgmq._first_time('pgmq.floor_mark_by_time_policy') AND pgmq._last_time('pgmq.top_mark_by_time_policy') AND m.msg_id = v_message.msg_id;
            msg_ids := array_replace(msg_ids, v_message.msg_id, v_counts);
        END IF;
    END LOOP;
    RETURN msg_ids;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._remove_by_time_policy(id bigint, receipt integer)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off
AS $$
DECLARE
    v_pass integer := 1;
BEGIN
    IF receipt IS NOT NULL AND 'true'::boolean THEN
        RETURN EXISTS (SELECT FROM pgmq._archivemany_by_time_policy(ARRAY[id], ARRAY[receipt]));
    END IF;
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_by_time_policy');
    END IF;
    LOOP
    DELETE FROM pgmq.q_by_time_policy AS m
    WHERE m.msg_id = id AND (receipt IS NULL OR m.read_ct = receipt)
        AND CASE v_pass
            WHEN 1 THEN m.enqueued_at BETWEEN pgmq._first_time('pgmq.floor_mark_by_time_policy') AND pgmq._time_front('pgmq.floor_mark_by_time_policy', '1 day', pgmq._last_time('pgmq.top_mark_by_time_policy')) WHEN 2 THEN m.enqueued_at BETWEEN pgmq._first_time('pgmq.floor_mark_by_time_policy') AND pgmq._last_time('pgmq.top_mark_by_time_policy') ELSE true
        END
        AND pgmq._may('DELETE', 'by_time_policy'::text, 'pgmq.q_by_time_policy');
    EXIT WHEN FOUND OR v_pass = 3;
    v_pass := v_pass + 1;
    END LOOP;
    RETURN FOUND;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._removemany_by_time_policy(msg_ids bigint[], receipts integer[])
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_pass integer := 1;
    v_count integer;
    v_missing integer := pg_catalog.cardinality(msg_ids);
BEGIN
    IF receipts IS NOT NULL AND 'true'::boolean THEN
        RETURN QUERY SELECT * FROM pgmq._archivemany_by_time_policy(msg_ids, receipts);
        RETURN;
    END IF;
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_by_time_policy');
    END IF;
    LOOP
    RETURN QUERY
        DELETE FROM pgmq.q_by_time_policy AS m
        WHERE m.msg_id = ANY (msg_ids)
            AND CASE v_pass
                WHEN 1 THEN m.enqueued_at BETWEEN pgmq._first_time('pgmq.floor_mark_by_time_policy') AND pgmq._time_front('pgmq.floor_mark_by_time_policy', '1 day', pgmq._last_time('pgmq.top_mark_by_time_policy')) AND m.tableoid IS DISTINCT FROM to_regclass('pgmq.q_by_time_policy_default')::oid
                WHEN 2 THEN m.enqueued_at BETWEEN pgmq._first_time('pgmq.floor_mark_by_time_policy') AND pgmq._last_time('pgmq.top_mark_by_time_policy')
                ELSE true
            END
            AND (receipts IS NULL OR m.read_ct > 0 AND ((m.msg_id, m.read_ct) IN (
                SELECT l.id, l.receipt FROM unnest(msg_ids, receipts) AS l (id, receipt)
            )) IS TRUE)
            AND pgmq._may('DELETE', 'by_time_policy'::text, 'pgmq.q_by_time_policy')
        RETURNING m.msg_id;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_missing := v_missing - v_count;
    EXIT WHEN v_missing = 0 OR v_pass = 3;
    v_pass := v_pass + 1;
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._sendbatch_by_time_policy(
    msgs jsonb[],
    msg_headers jsonb[],
    visible_at timestamptz
)
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 100
AS $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_catalog.unnest(msg_headers) AS u (header)
        WHERE u.header ->> 'x-pgmq-dedup-id'::text IS NOT NULL
    )
    THEN
        RETURN QUERY
            SELECT s.msg_id
            FROM pgmq._sendoncebatch_by_time_policy(msgs, msg_headers, visible_at, false) AS s;
        RETURN;
    END IF;
    RETURN QUERY
        INSERT INTO pgmq.q_by_time_policy (enqueued_at, vt, message, headers)
        SELECT now(), pgmq._visible_from(visible_at), u.msg, u.msg_header
        FROM unnest(msgs, msg_headers) AS u (msg, msg_header)
        WHERE pgmq._may('INSERT', 'by_time_policy'::text, 'pgmq.q_by_time_policy')
        RETURNING msg_id;
    IF pgmq._chance(pg_catalog.cardinality(msgs), 256) THEN
        PERFORM pgmq._tend_by_time_policy();
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._sendonce_by_time_policy(
    msg jsonb,
    msg_headers jsonb,
    visible_at timestamptz,
    needs_window boolean,
    OUT msg_id bigint,
    OUT is_new boolean
)
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
DECLARE
    v_stored bigint;
BEGIN
    ASSERT pgmq._may('INSERT', 'by_time_policy'::text, 'pgmq.q_by_time_policy');
    IF needs_window AND '01:00:00'::interval IS NULL THEN
        PERFORM pgmq._raise_no_window('by_time_policy'::text);
    END IF;
    IF visible_at IS NULL THEN
        PERFORM pgmq._raise_null('delay', 'Give seconds or a time, or leave delay out.');
    END IF;
    LOCK TABLE pgmq.q_by_time_policy IN ROW EXCLUSIVE MODE;
    msg_id := (pgmq._recall_by_time_policy(ARRAY[msg_headers ->> 'x-pgmq-dedup-id'::text]))[1];
    is_new := msg_id IS NULL;
    IF is_new THEN
        INSERT INTO pgmq.q_by_time_policy AS q (
            enqueued_at,
            vt,
            message, headers
        )
        VALUES (
            now(),
            pgmq._visible_from(visible_at),
            msg, msg_headers
        )
        RETURNING q.msg_id INTO v_stored;
        msg_id := (pgmq._remember_by_time_policy(ARRAY[v_stored]))[1];
        is_new := msg_id IS NOT DISTINCT FROM v_stored;
        IF pgmq._chance(1, 32) THEN
            PERFORM pgmq._upkeep('by_time_policy'::text, 1);
        END IF;
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._sendoncebatch_by_time_policy(
    msgs jsonb[],
    msg_headers jsonb[],
    visible_at timestamptz,
    needs_window boolean
)
RETURNS TABLE (msg_id bigint, is_new boolean)
LANGUAGE plpgsql VOLATILE ROWS 100
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
DECLARE
    v_keys text[];      -- each once, in an order: two batches must not wait for each other
    v_places bigint[];  -- where in the array a key is first
    v_known bigint[];   -- the message that was sent with it already
    v_new bigint[];     -- the places of the new messages, and these
    v_msg_ids bigint[];
    v_counts bigint[];  -- what counts in place of these: another sender may have been first
BEGIN
    ASSERT pgmq._may('INSERT', 'by_time_policy'::text, 'pgmq.q_by_time_policy');
    IF needs_window AND '01:00:00'::interval IS NULL THEN
        PERFORM pgmq._raise_no_window('by_time_policy'::text);
    END IF;
    IF visible_at IS NULL THEN
        PERFORM pgmq._raise_null('delay', 'Give seconds or a time, or leave delay out.');
    END IF;
    LOCK TABLE pgmq.q_by_time_policy IN ROW EXCLUSIVE MODE;
    SELECT
        coalesce(pg_catalog.array_agg(k.dedup_key ORDER BY k.dedup_key), '{}'),
        coalesce(pg_catalog.array_agg(k.place ORDER BY k.dedup_key), '{}')
    INTO v_keys, v_places
    FROM (
        SELECT
            (u.header ->> 'x-pgmq-dedup-id'::text) COLLATE "C" AS dedup_key,
            min(u.place) AS place
        FROM pg_catalog.unnest(msg_headers) WITH ORDINALITY AS u (header, place)
        WHERE u.header ->> 'x-pgmq-dedup-id'::text IS NOT NULL
        GROUP BY 1
    ) AS k;
    v_known := pgmq._recall_by_time_policy(v_keys);
    v_new := ARRAY(
        SELECT u.place
        FROM pg_catalog.unnest(msg_headers) WITH ORDINALITY AS u (header, place)
        LEFT JOIN unnest(v_keys, v_places, v_known) AS k (dedup_key, place, msg_id)
            ON k.dedup_key = u.header ->> 'x-pgmq-dedup-id'::text
        WHERE k.place IS NULL OR k.place = u.place AND k.msg_id IS NULL
        ORDER BY u.place
    );
    WITH sent AS (
        INSERT INTO pgmq.q_by_time_policy AS q (
            enqueued_at,
            vt,
            message, headers
        )
        SELECT
            now(),
            pgmq._visible_from(visible_at),
            u.msg, u.header
        FROM unnest(msgs, msg_headers) WITH ORDINALITY AS u (msg, header, place)
        WHERE (u.place IN (SELECT n.place FROM pg_catalog.unnest(v_new) AS n (place))) IS TRUE
        ORDER BY u.place
        RETURNING q.msg_id
    )
    SELECT coalesce(pg_catalog.array_agg(s.msg_id), '{}') INTO v_msg_ids FROM sent AS s;
    v_counts := pgmq._remember_by_time_policy(v_msg_ids);
    IF pgmq._chance(pg_catalog.cardinality(v_keys), 32) THEN
        PERFORM pgmq._upkeep('by_time_policy'::text, pg_catalog.cardinality(v_keys));
    END IF;
    IF pg_catalog.cardinality(v_msg_ids) < pg_catalog.cardinality(v_new) THEN
        v_known := pgmq._recall_by_time_policy(v_keys);
        RETURN QUERY
            SELECT k.msg_id, coalesce(k.place = u.place AND k.msg_id = ANY (v_msg_ids), false)
            FROM pg_catalog.unnest(msg_headers) WITH ORDINALITY AS u (header, place)
            LEFT JOIN unnest(v_keys, v_places, v_known) AS k (dedup_key, place, msg_id)
                ON k.dedup_key = u.header ->> 'x-pgmq-dedup-id'::text
            ORDER BY u.place;
        RETURN;
    END IF;
    RETURN QUERY
        SELECT
            coalesce(k.msg_id, n.counts),
            coalesce(n.place = u.place AND n.counts = n.msg_id, false)
        FROM pg_catalog.unnest(msg_headers) WITH ORDINALITY AS u (header, place)
        LEFT JOIN unnest(v_keys, v_places, v_known) AS k (dedup_key, place, msg_id)
            ON k.dedup_key = u.header ->> 'x-pgmq-dedup-id'::text
        LEFT JOIN unnest(v_new, v_msg_ids, v_counts) AS n (place, msg_id, counts)
            ON n.place = coalesce(k.place, u.place)
        ORDER BY u.place;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._shift_by_time_policy(
    msg_ids bigint[],
    read_cts integer[],
    seconds integer,
    gives_back boolean,
    error text
)
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_beyond boolean := false;
    v_count integer;
    v_missing integer := pg_catalog.cardinality(msg_ids);
BEGIN
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_by_time_policy');
    END IF;
    LOOP
    RETURN QUERY
        UPDATE pgmq.q_by_time_policy AS m
        SET vt = pgmq._parked_until(
                clock_timestamp() + pg_catalog.make_interval(secs => coalesce(
                    seconds,
                    pgmq._retry_after(
                        m.read_ct, '00:00:01'::interval, '00:01:00'::interval, '0.5'::real
                    ),
                    0
                )),
                m.enqueued_at
            ),
            last_read_at = CASE WHEN NOT gives_back THEN m.last_read_at END,
            headers = pgmq._with_error(m.headers, error)
        WHERE m.msg_id = ANY (msg_ids) AND m.read_ct > 0
            AND (m.enqueued_at BETWEEN pgmq._first_time('pgmq.floor_mark_by_time_policy') AND pgmq._last_time('pgmq.top_mark_by_time_policy')) <> v_beyond
            AND ((m.msg_id, m.read_ct) IN (
                SELECT l.id, l.receipt FROM unnest(msg_ids, read_cts) AS l (id, receipt)
            )) IS TRUE
            AND pgmq._may('UPDATE', 'by_time_policy'::text, 'pgmq.q_by_time_policy')
        RETURNING m.msg_id;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_missing := v_missing - v_count;
    EXIT WHEN v_missing = 0 OR v_beyond;
    v_beyond := true;
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._soonest_by_time_policy(
    as_of timestamptz,
    since timestamptz,
    until timestamptz
)
RETURNS timestamptz
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_by_time_policy');
    END IF;
    RETURN least(
        (
            SELECT f.vt
            FROM (
                SELECT q.vt, q.read_ct, q.enqueued_at, q.headers
                FROM pgmq.q_by_time_policy AS q
                WHERE q.enqueued_at BETWEEN pgmq._first_time('pgmq.floor_mark_by_time_policy') AND pgmq._last_time('pgmq.top_mark_by_time_policy') AND q.vt <= q.enqueued_at AND since IS NULL
                    AND q.msg_id >= pgmq._id_mark('pgmq.ready_mark_by_time_policy')
                ORDER BY q.msg_id
                LIMIT 1000
            ) AS f
            WHERE as_of IS NULL OR NOT pgmq._is_dead(
                f.read_ct, f.enqueued_at, f.headers, as_of, '9'::integer, '01:00:00'::interval
            )
            LIMIT 1
        ),
        (
            SELECT f.vt
            FROM (
                SELECT q.vt, q.read_ct, q.enqueued_at, q.headers
                FROM pgmq.q_by_time_policy AS q
                WHERE q.enqueued_at BETWEEN pgmq._first_time('pgmq.floor_mark_by_time_policy') AND pgmq._last_time('pgmq.top_mark_by_time_policy') AND q.vt > q.enqueued_at AND q.vt <= until
                    AND q.vt >= coalesce(since, pgmq._parked_mark('pgmq.parked_mark_by_time_policy'))
                ORDER BY q.vt
                LIMIT 1000
            ) AS f
            WHERE as_of IS NULL OR f.vt > as_of OR NOT pgmq._is_dead(
                f.read_ct, f.enqueued_at, f.headers, as_of, '9'::integer, '01:00:00'::interval
            )
            LIMIT 1
        )
    );
END
$$;

CREATE OR REPLACE FUNCTION pgmq._take_by_time_policy(msg_ids bigint[], alike anyelement)
RETURNS SETOF anyelement
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_by_time_policy');
    END IF;
    RETURN QUERY
        WITH removed AS (
            DELETE FROM pgmq.q_by_time_policy AS m
            WHERE m.enqueued_at BETWEEN pgmq._first_time('pgmq.floor_mark_by_time_policy') AND pgmq._last_time('pgmq.top_mark_by_time_policy') AND m.msg_id = ANY (msg_ids)
                AND pgmq._may('DELETE', 'by_time_policy'::text, 'pgmq.q_by_time_policy')
            RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers
        )
        SELECT r.* FROM removed AS r ORDER BY r.msg_id;
    IF pgmq._chance(pg_catalog.cardinality(msg_ids), 32) THEN
        PERFORM pgmq._tend_by_time_policy();
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION pgmq._tend_by_time_policy()
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER      -- whoever reads has no right to set the sequence
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_now CONSTANT bigint := pgmq._microseconds(clock_timestamp());
    v_due CONSTANT bigint := coalesce(pg_sequence_last_value('pgmq.tend_due_by_time_policy'), 0);
BEGIN
    IF pgmq._keeps_snapshot() THEN
        RETURN;
    END IF;
    IF v_now NOT BETWEEN v_due - 60000000 AND v_due - 1
        AND pgmq._may_tend('pgmq.q_by_time_policy')     -- anybody else could put it off
    THEN
        PERFORM setval('pgmq.tend_due_by_time_policy', v_now + 1000000);    -- others need not
        PERFORM pgmq._defer_upkeep('by_time_policy'::text);
    END IF;
END
$$;
