CREATE OR REPLACE FUNCTION pgmq._maintain(queue_name text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_step CONSTANT integer := 1000;
    v_policy pgmq.policy := pgmq.get_policy(queue_name);
    v_last bigint := '-9223372036854775808'::bigint;
    v_ids bigint[];
    v_count bigint;
    v_sum bigint := 0;
    v_is_archive boolean;
BEGIN
    PERFORM pgmq._compiled('advance', queue_name);      -- an unknown queue is an error
    -- Locked first: see drop_queue.
    EXECUTE format('SELECT FROM pgmq.%I WHERE false', pgmq.format_table_name(queue_name, 'q'));
    EXECUTE format('SELECT pgmq.%I(true)', pgmq._compiled('advance', queue_name));
    IF v_policy.max_receives IS NOT NULL OR v_policy.message_ttl IS NOT NULL THEN
        LOOP
            EXECUTE format(
                'SELECT ARRAY(SELECT q.msg_id FROM pgmq.%I AS q WHERE q.msg_id > $1'
                ' ORDER BY q.msg_id LIMIT $2)',
                pgmq.format_table_name(queue_name, 'q')
            ) INTO v_ids USING v_last, v_step;
            EXECUTE format(
                'SELECT cardinality(pgmq.%I($1))', pgmq._compiled('bury', queue_name)
            ) INTO v_count USING v_ids;
            v_sum := v_sum + v_count;
            EXIT WHEN cardinality(v_ids) < v_step;
            v_last := v_ids[v_step];
        END LOOP;
    END IF;
    IF v_policy.archive_retention IS NOT NULL OR v_policy.dedup_window IS NOT NULL THEN
        LOOP
            EXECUTE format('SELECT pgmq.%I($1)', pgmq._compiled('forget', queue_name))
            INTO v_count USING v_step;
            v_sum := v_sum + v_count;
            EXIT WHEN v_count = 0;
        END LOOP;
    END IF;
    FOREACH v_is_archive IN ARRAY ARRAY[false, true] LOOP
        v_sum := v_sum + pgmq._maintain_partitions(queue_name, v_is_archive, thorough => true);
    END LOOP;
    RETURN v_sum;
END
$$;
COMMENT ON FUNCTION pgmq._maintain(text) IS 'All the upkeep of one queue; returns how many rows it moved or removed.';

-- What grant_maintain() lets a scheduler do. The function that it calls belongs to the queue's
-- owner, who may have changed it: so a scheduler must have nothing that could be taken.
CREATE OR REPLACE FUNCTION pgmq._has_other_rights(role oid)
RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgmq._is_powerful(role)
        OR EXISTS (
            SELECT FROM pg_shdepend AS d
            WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = role AND d.deptype = 'o'
        )
        OR EXISTS (
            SELECT FROM pg_auth_members AS m
            WHERE m.member = role AND m.roleid <> 'pg_monitor'::regrole
        )
$$;
COMMENT ON FUNCTION pgmq._has_other_rights(oid) IS
'Whether a role owns anything, or is a member of another role than pg_monitor.';

CREATE OR REPLACE FUNCTION pgmq._schedule(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_function CONSTANT text := format('pgmq.%I', pgmq._function_name('scheduled', queue_name));
BEGIN
    -- Anew where it is there: a former owner of the queue may have changed it.
    EXECUTE format(
        $ddl$
        CREATE OR REPLACE FUNCTION %s() RETURNS bigint
        LANGUAGE plpgsql VOLATILE SECURITY DEFINER
        SET search_path = pg_catalog, pg_temp
        AS %L
        $ddl$,
        v_function, format('BEGIN RETURN pgmq._maintain(%L); END', queue_name)
    );
    EXECUTE format('REVOKE ALL ON FUNCTION %s() FROM public', v_function);
    EXECUTE format('ALTER FUNCTION %s() OWNER TO %s', v_function, (
        SELECT c.relowner::regrole FROM pg_class AS c
        WHERE c.oid = format('pgmq.%I', pgmq.format_table_name(queue_name, 'q'))::regclass
    ));
END
$$;
COMMENT ON FUNCTION pgmq._schedule(text) IS
'Create, or put right, the function by which schedulers maintain a queue with the rights of its owner.';

CREATE OR REPLACE FUNCTION pgmq._try_maintain(queue_name text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_function regprocedure;
    v_count bigint;
BEGIN
    IF pgmq._unsafe_owner(queue_name) IS NULL THEN
        RETURN pgmq._maintain(queue_name);
    END IF;
    v_function := to_regprocedure(
        pg_catalog.format('pgmq.%I()', pgmq._function_name('scheduled', queue_name))
    );
    IF has_function_privilege(v_function::oid, 'EXECUTE'::text)
        AND NOT EXISTS (
            SELECT FROM pgmq._callers() AS c (id) WHERE pgmq._has_other_rights(c.id)
        )
    THEN
        EXECUTE pg_catalog.format('SELECT %s', v_function) INTO v_count;
    END IF;
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION pgmq._try_maintain(text) IS
'Do all the upkeep of one queue if the caller may; null for whoever may not.

The owner may, and a scheduler that grant_maintain() has been called for.';

CREATE OR REPLACE FUNCTION pgmq._room_for_locks()
RETURNS bigint
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT current_setting('max_locks_per_transaction')::bigint * (
        current_setting('max_connections')::bigint
        + current_setting('max_prepared_transactions')::bigint
    )
$$;
COMMENT ON FUNCTION pgmq._room_for_locks() IS
'How many locks the server has room for, with all of its sessions together.';

CREATE OR REPLACE FUNCTION pgmq._locks_run_short()
RETURNS boolean
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 2 * (SELECT count(*) FROM pg_locks AS l WHERE l.pid = pg_backend_pid())
        > pgmq._room_for_locks()
$$;
COMMENT ON FUNCTION pgmq._locks_run_short() IS
'Whether this transaction has taken half of the locks that the server has room for.';
