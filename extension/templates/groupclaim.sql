-- Lock what may be taken of the groups with these heads, and return it in the order in which it is
-- to be delivered. The lock on its head is the lock on a group: whoever wants any message of a
-- group wants its first one too. The heads are locked first; then a new snapshot shows whether each
-- is the first message of its group still (a smaller msg_id may have been committed, and leased,
-- since the candidates were looked for), and what follows without a gap; then that is locked, up to
-- the first message of a group that somebody else holds.
CREATE OR REPLACE FUNCTION pgmq._groupclaim_$queue(
    as_of timestamptz,
    heads bigint[],
    quantity integer,
    kind text,
    group_name text,
    indexed boolean
)
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_held bigint[] := '{}'::bigint[];      -- locked heads
    v_wanted bigint[];
    v_needed integer;
    v_breadth bigint := 1;
    v_locked bigint[];
    v_msg_ids bigint[];
    v_owners bigint[];
BEGIN
    -- No more heads than are needed: a locked group is lost to others until the transaction ends.
    -- Where others hold some, the next ones, from among more each time.
    LOOP
        v_wanted := heads[:quantity - cardinality(v_held)];
        IF kind = 'grouped' AND cardinality(v_wanted) > 1 THEN
            SELECT ARRAY(
                SELECT o FROM unnest(p.owners) AS o EXCEPT SELECT h FROM unnest(v_held) AS h
            )
            INTO v_wanted
            FROM pgmq._groupplan_$queue(
                as_of, v_held || v_wanted, quantity, kind, group_name, indexed
            ) AS p;
        END IF;
        EXIT WHEN v_wanted = '{}';
        v_needed := cardinality(v_wanted);
        IF v_breadth > 1 THEN
            v_wanted := heads[:least(v_breadth * v_needed, cardinality(heads))::integer];
        END IF;
        v_locked := ARRAY(
            SELECT q.msg_id
            FROM pgmq.q_$queue AS q
            WHERE $timely(q) AND q.msg_id = ANY (v_wanted)
                AND (q.vt <= as_of OR q.vt <= q.enqueued_at)
            ORDER BY q.msg_id
            LIMIT v_needed
            FOR UPDATE SKIP LOCKED
        );
        v_held := v_held || v_locked;
        EXIT WHEN cardinality(v_locked) = v_needed AND v_breadth = 1;
        heads := ARRAY(
            SELECT h.head
            FROM unnest(heads) WITH ORDINALITY AS h (head, place)
            WHERE (h.head IN (SELECT w FROM unnest(v_wanted) AS w)) IS NOT TRUE
                OR h.head > v_locked[v_needed]      -- not tried yet
            ORDER BY h.place
        );
        v_breadth := least(4 * v_breadth, 4096);
    END LOOP;
    IF v_held = '{}' THEN
        RETURN v_held;
    END IF;

    SELECT p.msg_ids, p.owners INTO v_msg_ids, v_owners
    FROM pgmq._groupplan_$queue(as_of, v_held, quantity, kind, group_name, indexed) AS p;
    IF v_msg_ids = v_owners THEN    -- heads alone
        RETURN v_msg_ids;
    END IF;
    v_locked := ARRAY(
        SELECT q.msg_id
        FROM pgmq.q_$queue AS q
        WHERE $timely(q) AND q.msg_id = ANY (v_msg_ids)
            AND (q.vt <= as_of OR q.vt <= q.enqueued_at)
        ORDER BY q.msg_id
        FOR UPDATE SKIP LOCKED
    );
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
