-- To lock the head of a group is to lock the group: a call that wants any message of a group wants
-- its first one, too. The heads are locked first. Then a new snapshot shows whether each head is
-- still the first message of its group (a smaller msg_id may have been committed, and leased, since
-- the search for candidates), and which messages follow without a gap. Then those are locked, up to
-- the first message of each group that somebody else holds.
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
            'SELECT * FROM pgmq.%I($1, $2, $3, $4, $5, $6, $7)', concat('_plangroups_', compiled)
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
    -- How many messages of each group to look at; in rounds, only as many as usually suffice.
    v_depth := CASE kind
        WHEN 'head' THEN 1
        WHEN 'rr' THEN ceil(
            quantity::numeric / greatest(least(quantity, cardinality(heads)), 1)
        )
        ELSE quantity
    END;
    -- Lock no more heads than are needed: nobody else gets a locked group until the transaction
    -- ends. If others hold some, try the next ones, from among more each time.
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

    -- If the heads were locked in several attempts, look at all of them at once. In rounds, look
    -- again and deeper if a group may have more messages and more are wanted.
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
'Lock the messages that may be taken of the groups with these heads; return them in delivery order.';
