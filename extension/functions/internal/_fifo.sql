-- How messages of FIFO groups are read. A message's group is its header x-pgmq-group; a group's
-- head is its message with the smallest msg_id. What keeps a group in order is in _fifo_claim();
-- all that comes before only finds candidates.
--
-- A queue with a FIFO index has compiled functions (templates/group*.sql), which look at its table;
-- "compiled" is how their names end. It is null for a queue without the index (or whose index is
-- not valid): there the oldest messages are read until there is enough among them, by statements
-- that are planned each time.
CREATE OR REPLACE FUNCTION pgmq._fifo_read(
    queue_name text,
    seconds integer,
    quantity integer,
    kind text,
    group_name text
)
RETURNS SETOF pgmq.message_record
LANGUAGE plpgsql VOLATILE ROWS 10
AS $$
DECLARE
    v_park CONSTANT text := pgmq._compiled('park', queue_name);
    v_admit CONSTANT text := pgmq._enabled('admit', queue_name);
    v_path CONSTANT text := pg_catalog.current_setting('search_path'::text);
    v_ids bigint[];
BEGIN
    IF seconds IS NULL OR quantity < 0 THEN
        PERFORM pgmq._check_read(seconds, quantity);
    END IF;
    IF v_admit IS NULL THEN
        v_ids := pgmq._fifo_choose(queue_name, quantity, kind, group_name);
    ELSE
        PERFORM pgmq._may('UPDATE', queue_name, to_regclass(pg_catalog.format(
            'pgmq.%I', pgmq.format_table_name(queue_name, 'q')
        )));
        EXECUTE pg_catalog.format('SELECT pgmq.%I($1, null, $2, $3)', v_admit)
        INTO v_ids
        USING quantity, kind, group_name;
    END IF;
    -- Triggers on dead letters may have set it.
    IF pg_catalog.current_setting('search_path'::text) <> v_path THEN
        PERFORM pgmq._restore_search_path(v_path);
    END IF;
    IF pg_catalog.cardinality(v_ids) = 0 THEN
        RETURN;
    END IF;
    -- Not under a search_path of ours: triggers of users are fired.
    RETURN QUERY EXECUTE pg_catalog.format(
        CASE
            WHEN kind = 'rr'::text THEN
                'SELECT p.* FROM pgmq.%I($1, $2, true, $3) AS p'
                ' ORDER BY pg_catalog.array_position($1, p.msg_id)'
            ELSE 'SELECT * FROM pgmq.%I($1, $2, true, $3)'
        END,
        v_park
    ) USING
        v_ids, clock_timestamp() + pg_catalog.make_interval(secs => seconds),
        null::pgmq.message_record;
END
$$;
COMMENT ON FUNCTION pgmq._fifo_read(text, integer, integer, text, text) IS
'Lease messages of FIFO groups; what read_grouped and its like do.

The kind says of which groups: of the oldest free ones, one after the other (grouped), in rounds (rr), one of each (head), or of the group of that name (group).';

CREATE OR REPLACE FUNCTION pgmq._fifo_choose(
    queue_name text,
    quantity integer,
    kind text,
    group_name text,
    rounds integer DEFAULT 5
)
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_suffix CONSTANT text := pgmq._suffix(queue_name);
    -- Not while CREATE INDEX CONCURRENTLY is at work, nor when it has failed.
    v_index CONSTANT oid := (
        SELECT i.indexrelid FROM pg_index AS i
        WHERE i.indexrelid = to_regclass(format('pgmq.%I', concat('fifo_idx_', v_suffix)))::oid
            AND i.indisvalid
            AND to_regproc(format('pgmq.%I', concat('_groupfront_', v_suffix))) IS NOT NULL
    );
    v_now CONSTANT timestamptz := clock_timestamp();
    v_need CONSTANT integer := CASE kind
        WHEN 'grouped' THEN least(quantity, 1) WHEN 'group' THEN 0 ELSE quantity
    END;
    v_stage integer := 1;
    v_state bigint[];       -- where to search next, and the groups to look at
    v_remembered bigint[];
    v_crowded bigint[];
    v_complete boolean;
    v_heads bigint[];
    v_found bigint[];
    v_tried bigint[];
    v_ids bigint[] := '{}'::bigint[];
BEGIN
    IF kind = 'group' THEN
        group_name := coalesce(group_name, '_default_fifo_group');
        v_state := ARRAY[0, pgmq._group(jsonb_build_object('x-pgmq-group', group_name))];
    ELSIF v_index IS NOT NULL THEN
        v_state := string_to_array(
            nullif(current_setting(format('pgmq.groups_%s', v_index), true), ''), ' '
        );
    END IF;
    -- In stages: the front of the queue, more of it, and a search of the index; without an index,
    -- the front, and all there is. The next stage is for where there are too few groups (rounds
    -- need them all at once), or others hold them.
    LOOP
        IF v_index IS NOT NULL AND v_stage < 3 THEN
            EXECUTE format('SELECT * FROM pgmq.%I($1, $2, $3)', concat('_groupfront_', v_suffix))
            INTO v_found, v_remembered, v_crowded, v_complete
            USING v_now,
                CASE
                    WHEN kind = 'group' THEN 0
                    WHEN v_stage = 1 THEN quantity + 4::bigint
                    ELSE quantity + 20::bigint
                END,
                v_state[2:];
        ELSIF v_index IS NOT NULL THEN
            v_found := pgmq._fifo_search(
                v_suffix, v_index, v_now, v_need,
                CASE WHEN v_heads <> '{}' OR v_ids <> '{}' THEN 500 ELSE 1000 END,
                v_crowded, v_state[1], v_remembered
            );
        ELSE
            SELECT f.heads, f.complete INTO v_found, v_complete
            FROM pgmq._fifo_scan_front(
                queue_name, v_now, CASE v_stage WHEN 1 THEN quantity END, group_name
            ) AS f;
        END IF;
        -- Not before: the front has locked the table, and who drops it locks that before the marks.
        IF v_stage = 1 AND rounds = 5 AND pgmq._fifo_upkeep(queue_name, v_suffix, quantity) THEN
            rounds := 4;
            CONTINUE;
        END IF;
        -- Now and then anyway, or an old group behind a front that is always busy would never have
        -- its turn.
        IF v_stage < 3 AND NOT v_complete AND v_need > 0 AND v_index IS NOT NULL
            AND (v_remembered <> '{}' OR pgmq._chance(1, 32)) AND cardinality(v_found) >= v_need
        THEN
            v_stage := 3;
            v_found := v_found || pgmq._fifo_search(
                v_suffix, v_index, v_now, 0, 500, v_crowded, v_state[1], v_remembered
            );
        END IF;
        IF v_stage > 1 THEN
            v_found := ARRAY(
                SELECT f FROM unnest(v_heads || v_found) AS f
                EXCEPT
                SELECT t FROM unnest(v_tried) AS t
                ORDER BY 1
            );
        END IF;
        v_heads := v_found;
        IF v_complete OR v_stage = 3 OR cardinality(v_heads) >= v_need THEN
            v_ids := v_ids || pgmq._fifo_claim(
                queue_name, CASE WHEN v_index IS NOT NULL THEN v_suffix END, v_now, v_heads,
                quantity - cardinality(v_ids), kind, group_name
            );
            EXIT WHEN cardinality(v_ids) >= quantity OR v_complete OR v_stage = 3 OR v_need = 0;
            v_tried := v_tried || v_heads;
            v_heads := null;
        END IF;
        v_stage := CASE WHEN v_index IS NOT NULL THEN v_stage + 1 ELSE 3 END;
    END LOOP;
    IF v_ids = '{}' THEN
        RETURN v_ids;
    END IF;
    -- What follows a dead letter in its group comes after it all the same: it has left for good.
    v_found := pgmq._without_dead(queue_name, v_ids);
    IF v_found = '{}' AND rounds > 1 THEN
        RETURN pgmq._fifo_choose(queue_name, quantity, kind, group_name, rounds - 1);
    END IF;
    RETURN v_found;
END
$$;
COMMENT ON FUNCTION pgmq._fifo_choose(text, integer, text, text, integer) IS
'Choose and lock messages of FIFO groups, and return them in the order to deliver them in.

What must not be handed out any more is moved away instead; where nothing else is found, so many rounds are tried.';

-- The messages at the front of the queue show most free groups. A call that gets too little there
-- searches the groups, as many as its budget allows, from where this session's last search ended;
-- the groups that it finds are remembered, so that they need not be searched for again. Both are
-- kept in a custom setting. It is a hint: whatever it says, candidates are all that comes of it.
CREATE OR REPLACE FUNCTION pgmq._fifo_search(
    compiled text,
    fifo_index oid,
    as_of timestamptz,
    needed integer,
    budget integer,
    known bigint[],
    place bigint,
    remembered bigint[]
)
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_search CONSTANT text := format(
        'SELECT * FROM pgmq.%I($1, $2, $3, $4, $5)', concat('_groupsearch_', compiled)
    );
    v_least CONSTANT bigint := -9223372036854775808;
    v_greatest CONSTANT bigint := 9223372036854775807;
    v_place bigint := coalesce(place, ((random() - 0.5) * 18e18)::bigint);
    v_start CONSTANT bigint := v_place;
    v_end bigint := v_greatest;
    v_wanted integer := CASE WHEN needed > 0 THEN least(needed, 1000) + 20 ELSE 5 END;
    v_until bigint;
    v_heads bigint[];
    v_groups bigint[];
    v_steps integer;
    v_all_heads bigint[] := '{}'::bigint[];
    v_all_groups bigint[] := '{}'::bigint[];
BEGIN
    -- From the place on, around the end of the index, at most once around. Groups that are known
    -- already are jumped over: a crowded one may begin with very many dead entries, which a step
    -- into it would have to pass. The hash that the index is ordered by spreads groups evenly.
    LOOP
        v_until := least(
            v_end, (SELECT min(k.id) - 1 FROM unnest(known) AS k (id) WHERE k.id > v_place)
        );
        EXECUTE v_search
        INTO v_place, v_heads, v_groups, v_steps
        USING as_of, v_wanted, budget, v_place, v_until;
        v_all_heads := v_all_heads || v_heads;
        v_all_groups := v_all_groups || v_groups;
        v_wanted := v_wanted - cardinality(v_heads);
        budget := budget - v_steps;
        EXIT WHEN v_wanted <= 0 OR budget <= 0;

        IF v_until < v_end THEN
            v_place := v_until + 1;
        ELSIF v_end = v_greatest THEN
            -- The rest lies before the place where this call began.
            v_end := v_start;
            v_place := v_least;
        ELSE
            EXIT;
        END IF;
    END LOOP;
    IF needed = 0 AND remembered = '{}' THEN
        v_all_groups := '{}';       -- the front will do in the next call too
    END IF;
    -- The newest ones, so that every free group has its turn.
    remembered := (
        v_all_groups
        || ARRAY(SELECT r FROM unnest(remembered) AS r WHERE r <> ALL (v_all_groups))
    )[:32];
    PERFORM set_config(
        format('pgmq.groups_%s', fifo_index), array_to_string(v_place || remembered, ' '), false
    );
    RETURN v_all_heads;
END
$$;
COMMENT ON FUNCTION pgmq._fifo_search(text, oid, timestamptz, integer, integer, bigint[], bigint, bigint[]) IS
'Search the FIFO index for free groups, and return their heads.';

-- The lock on its head is the lock on a group: whoever wants any message of a group wants its first
-- one too. The heads are locked first; then a new snapshot shows whether each is the first message
-- of its group still (a smaller msg_id may have been committed, and leased, since the candidates
-- were looked for), and what follows without a gap; then that is locked, up to the first message of
-- a group that somebody else holds.
CREATE OR REPLACE FUNCTION pgmq._fifo_claim(
    queue_name text,
    compiled text,
    as_of timestamptz,
    heads bigint[],
    quantity integer,
    kind text,
    group_name text
)
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_plan CONSTANT text := CASE
        WHEN compiled IS NOT NULL THEN format(
            'SELECT * FROM pgmq.%I($1, $2, $3, $4, $5, $6, $7)', concat('_groupplan_', compiled)
        )
        ELSE format('SELECT * FROM pgmq._fifo_scan_plan(%L, $1, $2, $3, $4, $5, $6, $7)', queue_name)
    END;
    v_held bigint[] := '{}'::bigint[];      -- locked heads
    v_wanted bigint[];
    v_needed integer;
    v_breadth bigint := 1;
    v_depth bigint;
    v_got bigint[];
    v_msg_ids bigint[];
    v_owners bigint[];
    v_locked bigint[];
    v_deepest bigint;
BEGIN
    -- How many messages of each group to look at: in rounds no more than will do, as a rule.
    v_depth := CASE kind
        WHEN 'head' THEN 1
        WHEN 'rr' THEN ceil(
            quantity::numeric / greatest(least(quantity, cardinality(heads)), 1)
        )
        ELSE quantity
    END;
    -- No more heads than are needed: a locked group is lost to others until the transaction ends.
    -- Where others hold some, the next ones, from among more each time.
    LOOP
        v_wanted := heads[:quantity - cardinality(v_held)];
        IF kind = 'grouped' AND cardinality(v_wanted) > 1 THEN
            EXECUTE v_plan
            INTO v_got, v_msg_ids, v_owners, v_locked, v_deepest
            USING as_of, v_held || v_wanted, null::integer, quantity, false, v_depth, group_name;
            v_wanted := ARRAY(
                SELECT o FROM unnest(v_owners) AS o EXCEPT SELECT h FROM unnest(v_held) AS h
            );
        END IF;
        EXIT WHEN v_wanted = '{}';
        v_needed := cardinality(v_wanted);
        IF v_breadth > 1 THEN
            v_wanted := heads[:least(v_breadth * v_needed, cardinality(heads))::integer];
        END IF;
        EXECUTE v_plan
        INTO v_got, v_msg_ids, v_owners, v_locked, v_deepest
        USING as_of, v_wanted, v_needed, quantity, kind IN ('rr', 'head'), v_depth, group_name;
        v_held := v_held || v_got;
        EXIT WHEN cardinality(v_got) = v_needed AND v_breadth = 1;
        heads := ARRAY(
            SELECT h.head
            FROM unnest(heads) WITH ORDINALITY AS h (head, place)
            WHERE (h.head IN (SELECT w FROM unnest(v_wanted) AS w)) IS NOT TRUE
                OR h.head > v_got[v_needed]         -- not tried yet
            ORDER BY h.place
        );
        v_breadth := least(4 * v_breadth, 4096);
    END LOOP;
    IF v_held = '{}' THEN
        RETURN v_held;
    END IF;

    -- All at once, if they were locked one after the other. In rounds: again, deeper, if there may
    -- be more of a group and more is wanted.
    WHILE v_locked IS NULL OR v_held <> v_got
        OR kind = 'rr' AND v_deepest = v_depth AND cardinality(v_msg_ids) < quantity
    LOOP
        IF v_locked IS NOT NULL AND v_held = v_got THEN
            v_depth := 2 * v_depth;
        END IF;
        EXECUTE v_plan
        INTO v_got, v_msg_ids, v_owners, v_locked, v_deepest
        USING as_of, v_held, cardinality(v_held), quantity, kind IN ('rr', 'head'), v_depth,
            group_name;
        v_held := v_got;
    END LOOP;
    IF cardinality(v_locked) < cardinality(v_msg_ids) THEN
        v_msg_ids := ARRAY(
            SELECT m.msg_id
            FROM (
                SELECT
                    u.msg_id,
                    u.place,
                    bool_and((u.msg_id IN (SELECT l FROM unnest(v_locked) AS l)) IS TRUE) OVER (
                        PARTITION BY u.head ORDER BY u.msg_id
                    ) AS whole
                FROM unnest(v_msg_ids, v_owners) WITH ORDINALITY AS u (msg_id, head, place)
            ) AS m
            WHERE m.whole
            ORDER BY m.place
        );
    END IF;
    RETURN v_msg_ids;
END
$$;
COMMENT ON FUNCTION pgmq._fifo_claim(text, text, timestamptz, bigint[], integer, text, text) IS
'Lock what may be taken of the groups with these heads, and return it in the order of delivery.';

-- Without the index.
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
'Lock so many of these messages (null: all) that are visible still and that nobody else holds.';

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
'The oldest free groups, or the one of a name, each by its head, as templates/groupfront.sql says.

The oldest messages are read until there are enough groups among them. complete is whether there are no more.';

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
'What may be taken of the groups with these heads, as templates/groupplan.sql says.

The oldest messages are read until there is enough among them.';

CREATE OR REPLACE FUNCTION pgmq._fifo_upkeep(queue_name text, suffix text, quantity integer)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pgmq._chance(quantity, 32) OR pgmq._microseconds(clock_timestamp()) >= coalesce(
        pg_sequence_last_value(to_regclass(format('pgmq.%I', concat('sweep_due_', suffix)))), 0
    )
    THEN
        PERFORM pgmq._look_after(queue_name, quantity);
        RETURN true;
    END IF;
    RETURN false;
END
$$;
COMMENT ON FUNCTION pgmq._fifo_upkeep(text, text, integer) IS
'Do what a read does beside now and then, or when a sweep is due; say whether it was done.';
