-- The long way to read and to pop, for calls that the quick way (the templates receive and
-- consume) cannot serve.
CREATE OR REPLACE FUNCTION pgmq._lease(
    queue_name text,
    vt integer,
    quantity integer,
    condition jsonb
)
RETURNS SETOF pgmq.message_record
LANGUAGE plpgsql VOLATILE ROWS 10
AS $$
DECLARE
    v_ids CONSTANT bigint[] := pgmq._choose(
        queue_name, 'admit', quantity, condition
    );
BEGIN
    IF pg_catalog.cardinality(v_ids) <> 0 THEN
        RETURN QUERY EXECUTE pg_catalog.format(
            CASE
                WHEN pgmq._is_ranked(queue_name) THEN
                    'SELECT m.* FROM pgmq.%I($1, $2, true, $3) AS m'
                    ' INNER JOIN pg_catalog.unnest($1) WITH ORDINALITY AS u (id, place)'
                    ' ON m.msg_id = u.id ORDER BY u.place'
                ELSE 'SELECT * FROM pgmq.%I($1, $2, true, $3)'
            END,
            pgmq._compiled('park', queue_name)
        ) USING
            v_ids, clock_timestamp() + pg_catalog.make_interval(secs => vt),
            null::pgmq.message_record;
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._lease(text, integer, integer, jsonb) IS
'Lease the visible messages with the smallest msg_id for some seconds; return them in msg_id order.

In a queue with priorities, these are those that come first by priority, in that order.';

CREATE OR REPLACE FUNCTION pgmq._remove(queue_name text, quantity integer)
RETURNS SETOF pgmq.message_record
LANGUAGE plpgsql VOLATILE ROWS 10
AS $$
DECLARE
    v_ids CONSTANT bigint[] := pgmq._choose(queue_name, 'meter', quantity, null);
BEGIN
    IF pg_catalog.cardinality(v_ids) = 0 THEN
        RETURN;
    ELSIF pgmq._is_ranked(queue_name) THEN
        RETURN QUERY
            SELECT m.*
            FROM pgmq._take(queue_name, v_ids) AS m
            INNER JOIN pg_catalog.unnest(v_ids) WITH ORDINALITY AS u (id, place) ON m.msg_id = u.id
            ORDER BY u.place;
    ELSE
        RETURN QUERY SELECT * FROM pgmq._take(queue_name, v_ids);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._remove(text, integer) IS
'Remove the visible messages with the smallest msg_id, and return them in msg_id order.

In a queue with priorities, these are those that come first by priority, in that order.';

-- What the quick way does with what the queue's own _choose() has found among some more messages
-- than are wanted, by statements that are planned already.
CREATE OR REPLACE FUNCTION pgmq._hand_out(
    queue_name text,
    door text,
    quantity integer,
    chosen record
)
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_ids bigint[];
BEGIN
    IF chosen IS NULL THEN
        RETURN pgmq._choose(queue_name, door, quantity, null);
    END IF;
    IF chosen.looked_at = 0 AND NOT chosen.is_sweep_due THEN
        RETURN chosen.locked;
    END IF;
    IF pg_catalog.cardinality(chosen.locked) = least(quantity, chosen.looked_at)
        OR chosen.looked_at < quantity + '20'::bigint
    THEN
        v_ids := pgmq._without_dead(queue_name, chosen.locked);
    END IF;
    IF pg_catalog.cardinality(v_ids) > 0 THEN
        RETURN v_ids;
    END IF;
    RETURN pgmq._choose(queue_name, door, quantity, null);
END
$$;
COMMENT ON FUNCTION pgmq._hand_out(text, text, integer, record) IS
'The messages to hand out of those that a queue''s _choose() has locked; others if they do not do.

Null stands for a queue whose door has to be asked first. See _choose(text, text, integer, jsonb).';

CREATE OR REPLACE FUNCTION pgmq._choose(
    queue_name text,
    door text,
    quantity integer,
    condition jsonb
)
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_door CONSTANT text := pgmq._enabled(door, queue_name);
    v_path CONSTANT text := pg_catalog.current_setting('search_path'::text);
    v_ids bigint[];
BEGIN
    IF v_door IS NULL THEN
        RETURN pgmq._claim(queue_name, quantity, condition);
    END IF;
    EXECUTE pg_catalog.format('SELECT pgmq.%I($1, $2, null, null)', v_door)
    INTO v_ids
    USING quantity, condition;
    PERFORM pgmq._restore_search_path(v_path);      -- triggers on dead letters
    RETURN v_ids;
END
$$;
COMMENT ON FUNCTION pgmq._choose(text, text, integer, jsonb) IS
'Lock the visible messages that a read takes first, as many as may come, and return their ids.

The door says how many may: admit for a read, or meter for pop, which leases nothing. Where the
queue has no such door, all of them may.';

CREATE OR REPLACE FUNCTION pgmq._claim(
    queue_name text,
    quantity integer,
    condition jsonb,
    rounds integer DEFAULT 5
)
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_step CONSTANT text := pg_catalog.format(
        'SELECT * FROM pgmq.%I($1, $2, $3, $4, $5)', pgmq._compiled('choose', queue_name)
    );
    v_now CONSTANT timestamptz := clock_timestamp();
    -- Look at some more than are wanted, unless a condition may make each expensive to find.
    v_breadth bigint := quantity::bigint + CASE WHEN condition IS NULL THEN 20 ELSE 0 END;
    v_looked_at integer;
    v_locked bigint[];
    v_ids bigint[] := '{}'::bigint[];
    v_is_sweep_due boolean;
    v_left bigint[];
    v_moved boolean;
BEGIN
    -- Due and ready messages are merged first and then locked together. So if others hold some of
    -- them, look again, further each time: the work is a multiple of what others hold.
    FOR v_round IN 1..12 LOOP
        EXECUTE v_step
        INTO v_looked_at, v_locked, v_is_sweep_due
        USING
            v_now, quantity - pg_catalog.cardinality(v_ids), condition, v_breadth, v_ids;
        v_ids := pg_catalog.array_cat(v_ids, v_locked);
        EXIT WHEN pg_catalog.cardinality(v_ids) = least(quantity, v_looked_at)
            OR v_looked_at < v_breadth;
        v_breadth := 6 * v_breadth;
    END LOOP;

    -- If some of the messages must not be handed out, fewer are returned than there are, and none
    -- at all if more of them lie in front than one call moves away.
    IF pg_catalog.cardinality(v_ids) <> 0 THEN
        v_left := pgmq._without_dead(queue_name, v_ids);
        IF pg_catalog.cardinality(v_left) = 0 AND rounds > 1 THEN
            RETURN pgmq._claim(queue_name, quantity, condition, rounds - 1);
        END IF;
        RETURN v_left;
    END IF;

    -- Polls of an idle queue move its marks, too, and find a message below the marks as soon as a
    -- sweep is due. (Most such polls end in the quick way; then the marks are looked after now and
    -- then, as by all reads.)
    IF v_is_sweep_due OR pgmq._chance(1, 8) THEN
        EXECUTE pg_catalog.format('SELECT pgmq.%I()', pgmq._compiled('advance', queue_name))
        INTO v_moved;
        IF v_moved THEN
            RETURN pgmq._claim(queue_name, quantity, condition);
        END IF;
    END IF;
    RETURN v_ids;
END
$$;
COMMENT ON FUNCTION pgmq._claim(text, integer, jsonb, integer) IS
'Lock the visible messages that a read takes first and return their ids, by priority or in no order.

Due and ready ones are merged. If others hold some of them, the next free ones are taken.';

CREATE OR REPLACE FUNCTION pgmq._without_dead(queue_name text, msg_ids bigint[])
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_bury CONSTANT text := pgmq._enabled('bury', queue_name);
    v_path CONSTANT text := pg_catalog.current_setting('search_path'::text);
    v_dead bigint[];
BEGIN
    IF v_bury IS NULL THEN
        RETURN msg_ids;
    END IF;
    EXECUTE pg_catalog.format('SELECT pgmq.%I($1)', v_bury) INTO v_dead USING msg_ids;
    PERFORM pgmq._restore_search_path(v_path);      -- triggers on dead letters
    IF pg_catalog.cardinality(v_dead) = 0 THEN
        RETURN msg_ids;
    END IF;
    RETURN ARRAY(
        SELECT u.id
        FROM pg_catalog.unnest(msg_ids) WITH ORDINALITY AS u (id, place)
        WHERE (u.id IN (SELECT d.id FROM pg_catalog.unnest(v_dead) AS d (id))) IS NOT TRUE
        ORDER BY u.place
    );
END
$$;
COMMENT ON FUNCTION pgmq._without_dead(text, bigint[]) IS
'The messages among these that may be handed out, in their order; the others are moved away.';

CREATE OR REPLACE FUNCTION pgmq._look_after(queue_name text, quantity integer)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_advance CONSTANT text := pgmq._compiled('advance', queue_name);
BEGIN
    IF NOT has_any_column_privilege(pgmq._queue_table(queue_name), 'SELECT') THEN
        RETURN;         -- the call itself will say so
    END IF;
    PERFORM pgmq._lock_table_first(queue_name);
    EXECUTE format('SELECT pgmq.%I()', v_advance);
    PERFORM pgmq._upkeep(queue_name, quantity);
END
$$;
COMMENT ON FUNCTION pgmq._look_after(text, integer) IS
'The upkeep that a read does now and then: move the marks, remove what the policy keeps no longer.';

CREATE OR REPLACE FUNCTION pgmq._may_look_after(quantity integer)
RETURNS boolean
LANGUAGE sql VOLATILE
AS $$
    -- To look after a queue costs as much as two reads of one message, and the dead entries of some
    -- hundreds are passed quickly. So reads of one message do it once in 64 times, those of eight
    -- and more once in 14.
    SELECT pgmq._chance(1 + least(quantity, 8), 128)
$$;
COMMENT ON FUNCTION pgmq._may_look_after(integer) IS
'True by chance: whether a read of so many messages looks after the queue.';

CREATE OR REPLACE FUNCTION pgmq._take(queue_name text, msg_ids bigint[])
RETURNS SETOF pgmq.message_record
LANGUAGE plpgsql VOLATILE ROWS 10
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_function CONSTANT text := pgmq._enabled('take', queue_name);
BEGIN
    IF v_function IS NOT NULL THEN
        RETURN QUERY EXECUTE format('SELECT * FROM pgmq.%I($1, $2)', v_function)
            USING msg_ids, null::pgmq.message_record;
    ELSE
        RETURN QUERY EXECUTE format(
            $sql$
            DELETE FROM pgmq.%I AS m
            WHERE m.msg_id = ANY ($1)
            RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers
            $sql$,
            pgmq.format_table_name(queue_name, 'q')
        ) USING msg_ids;
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._take(text, bigint[]) IS 'Remove messages and return them, in msg_id order.';
