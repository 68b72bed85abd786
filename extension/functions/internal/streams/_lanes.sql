-- What rarely happens to a lane; what often does is in the templates fetch and commit. As there, a
-- change inserts a row and deletes the one before. All of this runs with the rights of the caller,
-- who may change only the lanes of groups that it may read as.
CREATE OR REPLACE FUNCTION pgmq._raise_no_group(queue_name text, group_name text)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF group_name IS NULL THEN
        PERFORM pgmq._raise_null('group name', 'pgmq.list_groups() has the names there are.');
    END IF;
    IF EXISTS (
        SELECT FROM pgmq._groups_of(queue_name) AS g
        WHERE g.group_name = _raise_no_group.group_name
    )
    THEN
        RAISE EXCEPTION 'permission denied for group "%" of stream "%"', group_name, queue_name
            USING ERRCODE = 'insufficient_privilege',
                HINT = format(
                    'The stream''s owner can SELECT pgmq.grant_fetch(%L, %L, %L).',
                    queue_name, group_name, current_user
                );
    END IF;
    RAISE EXCEPTION 'stream "%" has no group "%"', queue_name, group_name
        USING ERRCODE = 'undefined_object',
            HINT = format(
                'Create it with SELECT pgmq.create_group(%L, %L).', queue_name, group_name
            );
END
$$;
COMMENT ON FUNCTION pgmq._raise_no_group(text, text) IS
'Raise the error for a group that there is not, or that the caller may not read as.';

CREATE OR REPLACE FUNCTION pgmq._raise_not_leased(group_name text, lane integer, msg_id bigint)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'message % is not in the batch that lane % of group "%" has leased',
        msg_id, lane, group_name
        USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Give a msg_id that the last fetch has returned.';
END
$$;
COMMENT ON FUNCTION pgmq._raise_not_leased(text, integer, bigint) IS
'Raise the error for a message that a lease does not cover.';

CREATE OR REPLACE FUNCTION pgmq._refuse_delay(queue_name text)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'stream "%" has no delays', queue_name
        USING ERRCODE = 'feature_not_supported',
            HINT = 'Its messages are read in the order of their msg_ids:'
                ' send a delayed message to a queue, and from there to the stream.';
END
$$;
COMMENT ON FUNCTION pgmq._refuse_delay(text) IS 'Raise the error for a delayed message to a stream.';

CREATE OR REPLACE FUNCTION pgmq._check_fetch(vt integer, qty integer)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF vt IS NULL THEN
        PERFORM pgmq._raise_null('vt', 'Give the seconds until somebody else may have the batch.');
    END IF;
    IF qty IS NULL OR qty NOT BETWEEN 1 AND 100000 THEN
        RAISE EXCEPTION 'qty must be between 1 and 100000: %', coalesce(qty::text, 'null')
            USING ERRCODE = 'invalid_row_count_in_limit_clause',
                HINT = 'It is how many messages a batch has at most.';
    END IF;
    PERFORM pgmq._check_reads_committed();
END
$$;
COMMENT ON FUNCTION pgmq._check_fetch(integer, integer) IS
'Raise an error for arguments that fetch() cannot use, or in a transaction that it cannot run in.';

CREATE OR REPLACE FUNCTION pgmq._check_reads_committed()
RETURNS void
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF pgmq._keeps_snapshot() THEN
        RAISE EXCEPTION 'a group cannot read in a % transaction',
            upper(pg_catalog.current_setting('transaction_isolation'::text))
            USING ERRCODE = 'invalid_transaction_state',
                HINT = 'It would not see what others have committed since:'
                    ' begin with ISOLATION LEVEL READ COMMITTED.';
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._check_reads_committed() IS
'Raise an error in a transaction whose statements all see the database as it was at the beginning.';

CREATE OR REPLACE FUNCTION pgmq._lane_of(key_hash integer, msg_id bigint, lanes integer)
RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    -- One expression, so that it is inlined.
    SELECT coalesce(key_hash, (msg_id & '2147483647'::bigint)::integer) % lanes
$$;
COMMENT ON FUNCTION pgmq._lane_of(integer, bigint, integer) IS
'The lane of a message in a group of so many: that of its key or, without one, that of its id.';

CREATE OR REPLACE FUNCTION pgmq._lane_state(
    queue_name text,
    group_name text,
    lane integer,
    OUT version bigint,
    OUT epoch bigint,
    OUT done bigint,
    OUT leased bigint,
    OUT size integer,
    OUT failed bigint[]
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    EXECUTE format(
        'SELECT l.version, l.epoch, l.done, l.leased, l.size, l.failed FROM pgmq.%I AS l'
        ' WHERE l.group_name = $1 AND l.lane = $2'
        ' ORDER BY l.group_name DESC, l.lane DESC, l.version DESC LIMIT 1',
        pgmq._relation_name('lane', queue_name)
    ) INTO version, epoch, done, leased, size, failed USING group_name, lane;
END
$$;
COMMENT ON FUNCTION pgmq._lane_state(text, text, integer) IS
'The newest state of a lane, which is not locked; nulls if there is no such lane for the caller.';

CREATE OR REPLACE FUNCTION pgmq._lock_lane(
    queue_name text,
    group_name text,
    lane integer,
    version bigint
)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_found bigint;
BEGIN
    EXECUTE format(
        'SELECT l.version FROM pgmq.%I AS l'
        ' WHERE l.group_name = $1 AND l.lane = $2 AND l.version = $3 FOR UPDATE SKIP LOCKED',
        pgmq._relation_name('lane', queue_name)
    ) INTO v_found USING group_name, lane, version;
    RETURN v_found IS NOT NULL;
END
$$;
COMMENT ON FUNCTION pgmq._lock_lane(text, text, integer, bigint) IS
'Lock a lane if this is still its newest state, and nobody else has locked it; whether that is so.';

CREATE OR REPLACE FUNCTION pgmq._lock_lease(
    queue_name text,
    group_name text,
    lane integer,
    epoch bigint,
    OUT version bigint,
    OUT done bigint,
    OUT leased bigint,
    OUT failed bigint[]
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_state record;
BEGIN
    PERFORM pgmq._compiled('fetch', queue_name);        -- an error unless it is a stream
    PERFORM pgmq._check_reads_committed();
    PERFORM pgmq._may_use_lanes('INSERT', queue_name);
    PERFORM pgmq._lock_table_first(queue_name);
    -- See the template commit.
    FOR attempt IN 1..100 LOOP
        v_state := pgmq._lane_state(queue_name, group_name, lane);
        EXIT WHEN v_state.epoch IS DISTINCT FROM epoch OR v_state.leased = v_state.done;
        IF pgmq._lock_lane(queue_name, group_name, lane, v_state.version) THEN
            version := v_state.version;
            EXIT;
        END IF;
        PERFORM pg_sleep(0.001);
    END LOOP;
    IF v_state.epoch IS NULL THEN
        PERFORM pgmq._raise_no_lane(queue_name, group_name, lane);
    END IF;
    done := v_state.done;
    leased := v_state.leased;
    failed := v_state.failed;
END
$$;
COMMENT ON FUNCTION pgmq._lock_lease(text, text, integer, bigint) IS
'Lock the state of a lane if this lease of it is still valid; else the version is null.';

CREATE OR REPLACE FUNCTION pgmq._raise_no_lane(queue_name text, group_name text, lane integer)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_lanes CONSTANT integer := (
        SELECT g.lanes FROM pgmq._groups_of(queue_name) AS g
        WHERE g.group_name = _raise_no_lane.group_name
    );
BEGIN
    IF v_lanes IS NULL OR lane BETWEEN 0 AND v_lanes - 1 THEN
        PERFORM pgmq._raise_no_group(queue_name, group_name);
    END IF;
    RAISE EXCEPTION 'group "%" of stream "%" has no lane %',
        group_name, queue_name, coalesce(lane::text, 'null')
        USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Give the lane and the epoch that came with the messages.';
END
$$;
COMMENT ON FUNCTION pgmq._raise_no_lane(text, text, integer) IS
'Raise the error for a lane that there is not, or that the caller may not read.';

CREATE OR REPLACE FUNCTION pgmq._change_lane(
    queue_name text,
    group_name text,
    lane integer,
    version bigint,
    changes jsonb
)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_table CONSTANT text := pgmq._relation_name('lane', queue_name);
BEGIN
    EXECUTE format(
        $dml$
        WITH before AS (
            DELETE FROM pgmq.%1$I AS l
            WHERE l.group_name = $1 AND l.lane = $2 AND l.version = $3
            RETURNING l.*
        )
        INSERT INTO pgmq.%1$I
        SELECT r.*
        FROM before AS b
        CROSS JOIN LATERAL jsonb_populate_record(
            b::pgmq.%1$I,
            jsonb_build_object(
                'version', nextval(%2$L), 'changed_at', clock_timestamp()
            ) || $4
        ) AS r
        $dml$,
        v_table, format('pgmq.%I', pgmq._relation_name('epoch', queue_name))
    ) USING group_name, lane, version, changes;
END
$$;
COMMENT ON FUNCTION pgmq._change_lane(text, text, integer, bigint, jsonb) IS
'Put a new state of a lane in place of this version, which the caller has locked.';

CREATE OR REPLACE FUNCTION pgmq._still_failed(failed bigint[], done bigint)
RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ARRAY(SELECT f.id FROM unnest(failed) AS f (id) WHERE f.id > done ORDER BY f.id DESC)
$$;
COMMENT ON FUNCTION pgmq._still_failed(bigint[], bigint) IS
'What is left of a lane''s failed batches when everything up to a msg_id is committed.';

CREATE OR REPLACE FUNCTION pgmq._give_back(
    queue_name text,
    group_name text,
    lane integer,
    visible_at timestamptz,
    error text
)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_state record;
    v_most integer;
BEGIN
    v_state := pgmq._lane_state(queue_name, group_name, lane);
    IF error IS NOT NULL THEN
        v_state.failed := (v_state.failed || v_state.leased)[:200];
        v_most := (
            SELECT g.max_deliveries FROM pgmq._groups_of(queue_name) AS g
            WHERE g.group_name = _give_back.group_name
        );
    END IF;
    -- A message that has failed alone, and for the last time.
    IF v_state.size = 1 AND cardinality(v_state.failed) >= v_most THEN
        BEGIN
            PERFORM pgmq._end_lease(
                queue_name, group_name, lane, v_state.version, v_state.leased, '-infinity',
                pgmq._still_failed(v_state.failed, v_state.leased), error
            );
            EXECUTE format(
                'SELECT pgmq.%I($1, $2, $3, $4, $5)', pgmq._compiled('deadletter', queue_name)
            ) USING group_name, lane, v_state.leased, cardinality(v_state.failed), error;
            RETURN;
        EXCEPTION WHEN OTHERS OR assert_failure THEN
            IF pgmq._is_passing(SQLSTATE) THEN
                RAISE;
            END IF;
            RAISE WARNING 'message % of stream "%" cannot be stored as a dead letter of group "%",'
                ' and lane % is held up for ten minutes: %',
                v_state.leased, queue_name, group_name, lane, SQLERRM
                USING HINT = 'Others cannot be handed out before it. Mend its dead-letter queue.';
            error := format('it cannot be stored as a dead letter: %s', SQLERRM);
            visible_at := greatest(visible_at, clock_timestamp() + interval '10 minutes');
        END;
    END IF;
    PERFORM pgmq._end_lease(
        queue_name, group_name, lane, v_state.version, v_state.done, visible_at, v_state.failed, error
    );
END
$$;
COMMENT ON FUNCTION pgmq._give_back(text, text, integer, timestamptz, text) IS
'End the lease of a lane, which the caller has locked, without a commit.

With an error it counts as a failure (the last 200 are remembered). If a message has failed alone as
often as the group allows, it becomes a dead letter. If that cannot be stored, the lane waits for
ten minutes, and then the message is handed out again: other lanes go on.';

CREATE OR REPLACE FUNCTION pgmq._end_lease(
    queue_name text,
    group_name text,
    lane integer,
    version bigint,
    done bigint,
    visible_at timestamptz,
    failed bigint[],
    error text
)
RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgmq._change_lane(
        queue_name, group_name, lane, version,
        jsonb_build_object(
            'done', done, 'leased', done, 'vt', visible_at, 'pid', null, 'failed', failed
        ) || CASE WHEN error IS NULL THEN '{}' ELSE jsonb_build_object('error', error) END
    )
$$;
COMMENT ON FUNCTION
pgmq._end_lease(text, text, integer, bigint, bigint, timestamptz, bigint[], text) IS
'Put a state without a lease in place of this version of a lane; a null error leaves that there is.';

CREATE OR REPLACE FUNCTION pgmq._piece(
    queue_name text,
    group_name text,
    failures integer,
    quantity integer
)
RETURNS integer
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_most CONSTANT integer := (
        SELECT g.max_deliveries FROM pgmq._groups_of(queue_name) AS g
        WHERE g.group_name = _piece.group_name
    );
BEGIN
    -- The last time a message is handed out, it is alone.
    RETURN CASE
        WHEN v_most IS NULL THEN quantity
        WHEN failures >= v_most - 1 THEN 1
        ELSE ceil(power(quantity, (v_most - 1 - failures)::numeric / (v_most - 1)))
    END;
END
$$;
COMMENT ON FUNCTION pgmq._piece(text, text, integer, integer) IS
'How many messages to hand out at once after a batch has failed so often.';

CREATE OR REPLACE FUNCTION pgmq._group_dead_letter(
    headers jsonb,
    queue_name text,
    msg_id bigint,
    failures integer,
    enqueued_at timestamptz,
    group_name text,
    error text
)
RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_set(
        pgmq._dead_letter(
            pgmq._with_error(headers, error), queue_name, msg_id, failures,
            'rejected', enqueued_at
        ),
        '{x-pgmq-dead-letter,group}', to_jsonb(group_name)
    )
$$;
COMMENT ON FUNCTION pgmq._group_dead_letter(jsonb, text, bigint, integer, timestamptz, text, text) IS
'The headers of a dead letter of a group: x-pgmq-dead-letter also names the group.';
