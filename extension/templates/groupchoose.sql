-- Choose and lock messages of FIFO groups, and return them in the order in which they are to be
-- delivered: of the oldest free groups, one after the other (grouped), in rounds (rr), one of each
-- (head), or of one group (group: the one of that name).
--
-- What keeps a group in order is in groupclaim. All that comes before finds candidates and may miss
-- some: a call that the front of the queue gives too little for searches the groups, as many as its
-- budget allows, from where this session's last search ended; the groups that it finds are
-- remembered, so that they need not be searched for again. Both are kept in a custom setting.
CREATE OR REPLACE FUNCTION pgmq._groupchoose_$queue(
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
    v_indexed CONSTANT boolean := pgmq._has_fifo_index(
        'pgmq.fifo_idx_$queue', 'pgmq.live_mark_$queue'
    );
    v_setting CONSTANT text := format('pgmq.groups_%s', 'pgmq.q_$queue'::regclass::oid);
    v_now timestamptz := clock_timestamp();
    v_group bigint;
    v_live bigint := '-9223372036854775808'::bigint;
    v_state bigint[];       -- where to search next, and the remembered groups
    v_place bigint;
    v_remembered bigint[];
    v_heads bigint[];
    v_crowded bigint[];
    v_complete boolean;
    v_found bigint[];
    v_groups bigint[];
    v_tried bigint[] := '{}'::bigint[];
    v_need integer;
    v_search boolean;
    v_ids bigint[] := '{}'::bigint[];
    --# if max_receives or message_ttl
    v_dead bigint[];
    --# end
BEGIN
    IF kind = 'group' THEN
        group_name := coalesce(group_name, '_default_fifo_group');
        v_group := pgmq._group(jsonb_build_object('x-pgmq-group', group_name));
        IF v_indexed THEN
            v_live := pgmq._id_mark('pgmq.live_mark_$queue');
        END IF;
        v_heads := ARRAY(
            SELECT q.msg_id
            FROM pgmq.q_$queue AS q
            WHERE $live(q) AND (pgmq._group(q.headers), q.msg_id + 0) >= (v_group, v_live)
                AND pgmq._group(q.headers) <= v_group
                AND coalesce(q.headers ->> 'x-pgmq-group', '_default_fifo_group') = group_name
            ORDER BY pgmq._group(q.headers), q.msg_id + 0
            LIMIT 1
        );
        v_ids := pgmq._groupclaim_$queue(v_now, v_heads, quantity, kind, group_name, v_indexed);
    ELSE
        v_state := string_to_array(nullif(current_setting(v_setting, true), ''), ' ');
        SELECT f.heads, f.still_free, f.crowded, f.complete
        INTO v_heads, v_remembered, v_crowded, v_complete
        FROM pgmq._groupfront_$queue(v_now, quantity, v_state[2:], v_indexed) AS f;
        -- Where the front shows too few groups: rounds need them all at once. And now and then
        -- anyway, or an old group behind a front that is always busy would never have its turn.
        v_need := CASE kind WHEN 'grouped' THEN least(quantity, 1) ELSE quantity END;
        v_search := v_indexed AND (
            cardinality(v_heads) < v_need OR v_remembered <> '{}' OR pgmq._chance(1, 32)
        );
        LOOP
            v_found := '{}';
            IF v_search AND NOT v_complete AND v_indexed THEN
                SELECT s.place, s.heads, s.groups INTO v_place, v_found, v_groups
                FROM pgmq._groupsearch_$queue(
                    v_now,
                    CASE
                        WHEN cardinality(v_heads) < v_need THEN least(v_need, 1000) + 20 ELSE 5
                    END,
                    CASE WHEN v_heads || v_ids = '{}' THEN 1000 ELSE 500 END,
                    v_crowded,
                    coalesce(v_state[1], ((random() - 0.5) * 18e18)::bigint)
                ) AS s;
                IF cardinality(v_heads) >= v_need AND v_remembered = '{}' THEN
                    v_groups := '{}';       -- the front will do in the next call too
                END IF;
                -- The newest ones, so that every free group has its turn.
                v_remembered := (
                    v_groups
                    || ARRAY(SELECT r FROM unnest(v_remembered) AS r WHERE r <> ALL (v_groups))
                )[:32];
                PERFORM set_config(
                    v_setting, array_to_string(v_place || v_remembered, ' '), false
                );
            ELSIF v_search AND NOT v_complete THEN
                SELECT f.heads INTO v_found
                FROM pgmq._groupfront_$queue(v_now, 2147483647, null, v_indexed) AS f;
            END IF;
            v_heads := ARRAY(
                SELECT f FROM unnest(v_heads || v_found) AS f
                EXCEPT
                SELECT t FROM unnest(v_tried) AS t
                ORDER BY 1
            );
            v_ids := v_ids || pgmq._groupclaim_$queue(
                v_now, v_heads, quantity - cardinality(v_ids), kind, null, v_indexed
            );
            EXIT WHEN v_search OR v_complete OR cardinality(v_ids) >= quantity;

            -- Too little, or others hold what the front shows: search for more.
            v_search := true;
            v_tried := v_heads;
            v_heads := '{}';
        END LOOP;
    END IF;
    --# if max_receives or message_ttl
    -- What follows such a message in its group comes after it all the same: it has left for good.
    v_dead := pgmq._bury_$queue(v_ids);
    IF v_dead <> '{}' THEN
        v_ids := ARRAY(
            SELECT u.id
            FROM unnest(v_ids) WITH ORDINALITY AS u (id, place)
            WHERE (u.id IN (SELECT d FROM unnest(v_dead) AS d)) IS NOT TRUE
            ORDER BY u.place
        );
        IF v_ids = '{}' AND rounds > 1 THEN
            RETURN pgmq._groupchoose_$queue(quantity, kind, group_name, rounds - 1);
        END IF;
    END IF;
    --# end
    RETURN v_ids;
END
$$;
