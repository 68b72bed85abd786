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
            AND to_regproc(format('pgmq.%I', concat('_frontgroups_', v_suffix))) IS NOT NULL
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
    v_is_stuck boolean;
BEGIN
    IF kind = 'fair' THEN
        RETURN pgmq._fair_choose(queue_name, quantity, null, true, false);
    END IF;
    IF kind = 'group' THEN
        group_name := coalesce(group_name, '_default_fifo_group');
        v_state := ARRAY[0, pgmq._group(jsonb_build_object('x-pgmq-group', group_name))];
    ELSIF v_index IS NOT NULL THEN
        v_state := string_to_array(
            nullif(current_setting(format('pgmq.groups_%s', v_index), true), ''), ' '
        );
    END IF;
    -- The call goes in stages: the front of the queue, more of the front, and a search of the
    -- index; without an index, the front, and the whole queue. The next stage follows if there are
    -- too few groups (rounds need all of them at once), or if others hold them.
    LOOP
        IF v_index IS NOT NULL AND v_stage < 3 THEN
            EXECUTE format('SELECT * FROM pgmq.%I($1, $2, $3)', concat('_frontgroups_', v_suffix))
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
                -- Steps of some microseconds each: fewer where the call is of use already.
                CASE WHEN v_heads <> '{}' OR v_ids <> '{}' THEN 500 ELSE 1000 END,
                v_crowded, v_state[1], v_remembered
            );
        ELSE
            SELECT f.heads, f.complete INTO v_found, v_complete
            FROM pgmq._fifo_scan_front(
                queue_name, v_now, CASE v_stage WHEN 1 THEN quantity END, group_name
            ) AS f;
        END IF;
        -- Not earlier: reading the front has locked the table, and drop_queue locks the table
        -- before the marks, too.
        IF v_stage = 1 AND rounds = 5 AND pgmq._fifo_upkeep(queue_name, v_suffix, quantity) THEN
            rounds := 4;
            CONTINUE;
        END IF;
        -- Now and then in any case: otherwise an old group behind a front that is always busy would
        -- never have its turn.
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
    v_found := pgmq._without_dead(queue_name, v_ids);
    IF cardinality(v_found) < cardinality(v_ids) THEN
        -- Mostly dead letters have left the queue, and what is behind them follows. One that cannot
        -- be moved is hidden, and closes its group.
        EXECUTE format(
            'SELECT EXISTS (SELECT FROM pgmq.%I AS q WHERE q.msg_id = ANY ($1))',
            pgmq.format_table_name(queue_name, 'q')
        )
        INTO v_is_stuck USING ARRAY(
            SELECT i.id FROM unnest(v_ids) AS i (id)
            EXCEPT
            SELECT f.id FROM unnest(v_found) AS f (id)
        );
        IF rounds > 1 AND (v_is_stuck OR v_found = '{}') THEN
            RETURN pgmq._fifo_choose(queue_name, quantity, kind, group_name, rounds - 1);
        ELSIF v_is_stuck THEN
            RETURN '{}'::bigint[];
        END IF;
    END IF;
    RETURN v_found;
END
$$;
COMMENT ON FUNCTION pgmq._fifo_choose(text, integer, text, text, integer) IS
'Choose and lock messages of FIFO groups, and return them in the order of delivery.

Or, of the kind fair, those of any groups in turn. Messages that must not be handed out any more are
moved away instead. If only such messages are found, up to so many rounds are tried.';

-- The messages at the front of the queue show most free groups. If they show too few, the call
-- searches the index of groups, as many as its budget allows, starting where this session's last
-- search stopped. The groups that it finds are remembered, so that they need not be searched for
-- again. A custom setting keeps both. The setting is only a hint: any value of it leads only to
-- candidates.
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
        'SELECT * FROM pgmq.%I($1, $2, $3, $4, $5)', concat('_findgroups_', compiled)
    );
    v_least CONSTANT bigint := -9223372036854775808;
    v_greatest CONSTANT bigint := 9223372036854775807;
    -- The first search begins at random: hashes are spread over all values of a bigint.
    v_place bigint := coalesce(place, ((random() - 0.5) * 18e18)::bigint);
    v_start CONSTANT bigint := v_place;
    v_end bigint := v_greatest;
    -- Some more than are needed: others may hold some of them.
    v_wanted integer := CASE WHEN needed > 0 THEN least(needed, 1000) + 20 ELSE 5 END;
    v_until bigint;
    v_heads bigint[];
    v_groups bigint[];
    v_steps integer;
    v_all_heads bigint[] := '{}'::bigint[];
    v_all_groups bigint[] := '{}'::bigint[];
BEGIN
    -- Search from the place on, past the end of the index, at most once around. Known groups are
    -- jumped over: a crowded one may begin with very many dead entries, which a step into it would
    -- have to pass. The index is ordered by a hash, which spreads the groups evenly.
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
            -- The rest of the index lies before the place where this call began.
            v_end := v_start;
            v_place := v_least;
        ELSE
            EXIT;
        END IF;
    END LOOP;
    IF needed = 0 AND remembered = '{}' THEN
        v_all_groups := '{}';       -- the front will do in the next call too
    END IF;
    -- Only the newest ones are remembered, so that every free group has its turn and the setting
    -- stays short.
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
