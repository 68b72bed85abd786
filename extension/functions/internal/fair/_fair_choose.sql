-- Choosing messages by the turns of their groups. Groups stand in a circle, in the order of their
-- numbers, and the sequence turn_<name> says where the next turn begins. Each call goes on from
-- there, whatever session it is of. So a group with a visible message waits for one turn of each
-- other group at most, however many messages those have.
--
-- Only messages that are handed out are locked, and the place of the turn is a hint: two calls at
-- the same time may begin at the same group. They take different messages of it.
--
-- Where groups have a limit of leases (is_limited), no more messages of one are chosen than there
-- is room for. This holds while others that count are locked out: see the template share.
CREATE OR REPLACE FUNCTION pgmq._fair_choose(
    queue_name text,
    quantity integer,
    condition jsonb,
    by_turns boolean,
    is_limited boolean,
    rounds integer DEFAULT 5
)
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
DECLARE
    v_suffix CONSTANT text := pgmq._suffix(queue_name);
    v_now CONSTANT timestamptz := clock_timestamp();
    v_count CONSTANT text := format('SELECT pgmq.%I($1, $2)', concat('_fairroom_', v_suffix));
    v_way text;
    v_effort bigint;        -- how far to look, as a multiple of what usually suffices
    v_may_tend boolean := rounds = 5;
    v_place bigint;
    v_turn bigint;          -- where the next call begins
    v_depth bigint := 1;
    v_vain integer := 0;    -- groups that have given nothing, and messages that others hold
    v_complete boolean;     -- all that is visible has been looked at
    v_groups bigint[];
    v_room integer[];
    v_found bigint[];
    v_owners bigint[];      -- the group of each
    v_locked bigint[];
    v_tried bigint[] := '{}'::bigint[];
    v_ids bigint[] := '{}'::bigint[];
    v_held bigint[] := '{}'::bigint[];              -- the group of each, in any order
    v_left integer := quantity;
BEGIN
    IF pgmq._compiled('fairgroups', queue_name) IS NULL THEN
        RAISE EXCEPTION 'queue "%" has no index by which groups take turns', queue_name
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = format('Its owner can SELECT pgmq.create_fair_index(%L).', queue_name);
    END IF;
    -- There are two ways to find messages. A read by turns goes by the groups; the front of the
    -- queue follows only where very many groups have given nothing, or others hold very many of
    -- their messages. Any other read goes by the front; groups in turn follow where the front is
    -- full of messages that must not be taken.
    <<ways>>
    FOREACH v_way IN ARRAY CASE
        WHEN condition IS NOT NULL THEN '{front}'::text[]
        WHEN by_turns THEN '{turns,front}'
        ELSE '{front,turns}'
    END
    LOOP
        v_effort := 1;
        LOOP
            IF v_way = 'front' THEN
                EXECUTE format('SELECT * FROM pgmq.%I($1, $2, $3, $4)', concat('_fairfront_', v_suffix))
                INTO v_found, v_owners
                USING v_now, v_effort * (quantity + 20::bigint), condition, v_tried;
                v_complete := cardinality(v_found) < v_effort * (quantity + 20::bigint);
                IF is_limited THEN
                    v_groups := ARRAY(SELECT DISTINCT o FROM unnest(v_owners) AS o);
                    EXECUTE v_count INTO v_room USING v_groups, v_held;
                    SELECT r.msg_ids, r.owners INTO v_found, v_owners
                    FROM pgmq._within_room(v_found, v_owners, v_groups, v_room) AS r;
                END IF;
            ELSE
                -- Some more groups than are needed: others may hold their messages.
                EXECUTE format('SELECT * FROM pgmq.%I($1, $2, $3)', concat('_fairgroups_', v_suffix))
                INTO v_place, v_groups, v_complete
                USING v_now, least(v_left + 8 * v_effort, 10000)::integer, v_place;
                v_room := null;
                IF is_limited THEN
                    EXECUTE v_count INTO v_room USING v_groups, v_held;
                END IF;
                EXECUTE format(
                    'SELECT * FROM pgmq.%I($1, $2, $3, $4, $5)', concat('_fairfind_', v_suffix)
                )
                INTO v_found, v_owners
                USING v_now, v_groups, v_room, v_depth, v_tried;
            END IF;
            -- Not earlier: the table is locked now. See drop_queue. (Reads that do not go by turns
            -- have done their part already, but for the sweep.)
            IF v_may_tend THEN
                v_may_tend := false;
                IF pgmq._fifo_upkeep(
                    queue_name, v_suffix, CASE WHEN by_turns THEN quantity ELSE 0 END
                )
                THEN
                    v_place := null;
                    CONTINUE;
                END IF;
            END IF;

            EXECUTE format('SELECT pgmq.%I($1, $2, $3, $4)', concat('_fairlock_', v_suffix))
            INTO v_locked
            USING v_now, v_found, v_left, condition;
            v_ids := v_ids || v_locked;
            v_left := v_left - cardinality(v_locked);
            IF v_way = 'turns' THEN
                v_turn := CASE
                    WHEN v_left > 0 AND NOT v_complete THEN v_place
                    -- Behind the group that was served last.
                    WHEN v_locked <> '{}' THEN greatest(
                        v_owners[array_position(v_found, v_locked[cardinality(v_locked)])],
                        -9223372036854775807
                    ) - 1
                    ELSE v_turn
                END;
            END IF;
            EXIT ways WHEN v_left <= 0
                OR v_complete AND (v_found = '{}' OR v_way = 'front' AND v_locked = v_found);

            v_tried := v_tried || v_found;
            v_held := v_held || ARRAY(
                SELECT f.owner FROM unnest(v_found, v_owners) AS f (id, owner)
                WHERE f.id IN (SELECT l FROM unnest(v_locked) AS l)
            );
            -- So much times a quantity without a limit is still a bigint.
            v_effort := least(6 * v_effort, 4000000000);
            IF v_way = 'front' THEN
                EXIT WHEN v_effort > 36 AND (condition IS NULL OR v_effort > 1000000000);
            ELSIF v_complete THEN
                v_depth := v_effort * (v_left / cardinality(v_groups) + 1::bigint);
                v_vain := v_vain + cardinality(v_found) - cardinality(v_locked);
                EXIT WHEN v_vain >= 1000;
            ELSE
                v_vain := v_vain + cardinality(v_groups) - cardinality(v_locked);
                EXIT WHEN v_vain >= 1000 OR v_groups = '{}';
            END IF;
        END LOOP;
    END LOOP ways;
    IF v_turn IS NOT NULL THEN
        EXECUTE format('SELECT pgmq.%I($1)', concat('_turn_', v_suffix)) USING v_turn;
    END IF;
    IF v_ids = '{}' THEN
        RETURN v_ids;
    END IF;
    v_found := pgmq._without_dead(queue_name, v_ids);
    IF v_found = '{}' AND rounds > 1 THEN
        RETURN pgmq._fair_choose(
            queue_name, quantity, condition, by_turns, is_limited, rounds - 1
        );
    END IF;
    RETURN v_found;
END
$$;
COMMENT ON FUNCTION pgmq._fair_choose(text, integer, jsonb, boolean, boolean, integer) IS
'Choose and lock messages, group by group in turn, or the first ones, and return their ids.

Messages that must not be handed out any more are moved away instead. If only such messages are
found, up to so many rounds are tried.';

CREATE OR REPLACE FUNCTION pgmq._within_room(
    INOUT msg_ids bigint[],
    INOUT owners bigint[],
    groups bigint[],
    room integer[]
)
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT
        coalesce(array_agg(c.id ORDER BY c.place), '{}'),
        coalesce(array_agg(c.owner ORDER BY c.place), '{}')
    FROM (
        SELECT
            f.id, f.owner, f.place,
            row_number() OVER (PARTITION BY f.owner ORDER BY f.place) AS number
        FROM unnest(msg_ids, owners) WITH ORDINALITY AS f (id, owner, place)
    ) AS c
    INNER JOIN unnest(groups, room) AS g (id, room) ON c.owner = g.id
    WHERE c.number <= g.room
$$;
COMMENT ON FUNCTION pgmq._within_room(bigint[], bigint[], bigint[], integer[]) IS
'Of messages in an order, the first ones of each group that there is room for, and the groups.';
