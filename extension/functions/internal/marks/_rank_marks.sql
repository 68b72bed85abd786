-- In a queue with priorities, ready messages lie by (priority, msg_id) in one index and parked ones
-- by (priority, vt) in another, and each priority has both low-water marks for its part of them:
-- while a priority waits, those above it go on. _advance() says when a mark may move.
--
-- A ready message whose priority changes could come to lie below the mark of its new priority. So
-- amend() parks it. After a plain UPDATE, a sweep finds it, as it finds whatever no rule covers.
CREATE OR REPLACE FUNCTION pgmq._move_rank_marks(
    queue regclass,
    suffix text,
    live_parts text,
    ready_limit bigint,
    parked_limit timestamptz
)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_ready_mark regclass;
    v_old_ready bigint;
    v_new_ready bigint;
    v_parked_mark regclass;
    v_old_parked timestamptz;
    v_new_parked timestamptz;
    v_moves boolean;
BEGIN
    FOR v_ready_mark, v_old_ready, v_new_ready, v_parked_mark, v_old_parked, v_new_parked
    IN EXECUTE format(
        $sql$
        SELECT
            p.ready_mark, p.ready, least($2, (
                SELECT q.msg_id
                FROM %1$s AS q
                WHERE %2$s pgmq._priority(q.headers) = p.priority AND q.vt <= q.enqueued_at
                    AND q.msg_id >= p.ready
                ORDER BY q.msg_id
                LIMIT 1
            )) AS new_ready,
            p.parked_mark, p.parked, least($3, (
                SELECT q.vt
                FROM %1$s AS q
                WHERE %2$s pgmq._priority(q.headers) = p.priority AND q.vt > q.enqueued_at
                    AND q.vt >= p.parked AND q.vt <= (SELECT $3)
                ORDER BY q.vt
                LIMIT 1
            )) AS new_parked
        FROM (
            SELECT
                m.priority, m.ready_mark, pgmq._id_mark(m.ready_mark) AS ready,
                m.parked_mark, pgmq._parked_mark(m.parked_mark) AS parked
            FROM pgmq._priority_marks($1) AS m
            OFFSET 0
        ) AS p
        $sql$,
        queue, live_parts
    ) USING suffix, ready_limit, parked_limit
    LOOP
        -- Some messages, or a second, do not matter. And never forwards again if another session
        -- has just moved the mark back.
        v_moves := v_new_ready > v_old_ready + 64;
        IF v_moves AND v_old_ready = pgmq._id_mark(v_ready_mark) THEN
            PERFORM setval(v_ready_mark, v_new_ready);
        END IF;
        IF (
            v_new_parked > v_old_parked + interval '1 second'
            OR v_moves AND v_new_parked > v_old_parked
        )
            AND v_old_parked = pgmq._parked_mark(v_parked_mark)
        THEN
            PERFORM setval(v_parked_mark, pgmq._microseconds(v_new_parked));
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION pgmq._move_rank_marks(regclass, text, text, bigint, timestamptz) IS
'Move the low-water marks of each priority of a queue up to these limits, if there is no message.';

CREATE OR REPLACE FUNCTION pgmq._sweep_priorities(
    queue regclass,
    suffix text,
    from_id bigint,
    to_id bigint,
    ready_mark bigint
)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_mark regclass;
    v_value bigint;
    v_found bigint;
    v_first bigint;
BEGIN
    FOR v_mark, v_value, v_found IN EXECUTE format(
        $sql$
        SELECT
            p.mark, pgmq._id_mark(p.mark), (
                SELECT q.msg_id
                FROM %s AS q
                WHERE pgmq._priority(q.headers) = p.priority AND q.vt <= q.enqueued_at
                    AND q.msg_id >= (SELECT $2)
                    AND q.msg_id < least($3, greatest(pgmq._id_mark(p.mark), $4))
                ORDER BY q.msg_id
                LIMIT 1
            )
        FROM (
            SELECT m.priority, m.ready_mark AS mark FROM pgmq._priority_marks($1) AS m OFFSET 0
        ) AS p
        $sql$,
        queue
    ) USING suffix, from_id, to_id, ready_mark
    LOOP
        v_first := least(v_first, v_found);
        IF v_found < v_value THEN
            PERFORM setval(v_mark, v_found);
        END IF;
    END LOOP;
    RETURN v_first;
END
$$;
COMMENT ON FUNCTION pgmq._sweep_priorities(regclass, text, bigint, bigint, bigint) IS
'The first ready message in this range of msg_ids that lies below a mark; marks are moved back to it.';

CREATE OR REPLACE FUNCTION pgmq._sweep_priorities(
    queue regclass,
    suffix text,
    from_time timestamptz,
    to_time timestamptz,
    parked_mark timestamptz
)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_mark regclass;
    v_value timestamptz;
    v_found timestamptz;
    v_first timestamptz;
BEGIN
    FOR v_mark, v_value, v_found IN EXECUTE format(
        $sql$
        SELECT
            p.mark, pgmq._parked_mark(p.mark), (
                SELECT q.vt
                FROM %s AS q
                WHERE pgmq._priority(q.headers) = p.priority AND q.vt > q.enqueued_at
                    AND q.vt >= (SELECT $2)
                    AND q.vt < least($3, greatest(pgmq._parked_mark(p.mark), $4))
                ORDER BY q.vt
                LIMIT 1
            )
        FROM (
            SELECT m.priority, m.parked_mark AS mark FROM pgmq._priority_marks($1) AS m OFFSET 0
        ) AS p
        $sql$,
        queue
    ) USING suffix, from_time, to_time, parked_mark
    LOOP
        v_first := least(v_first, v_found);
        IF v_found < v_value THEN
            PERFORM setval(v_mark, pgmq._microseconds(greatest(v_found, to_timestamp(0))));
        END IF;
    END LOOP;
    RETURN v_first;
END
$$;
COMMENT ON FUNCTION pgmq._sweep_priorities(regclass, text, timestamptz, timestamptz, timestamptz) IS
'The first parked message in this range of times that lies below a mark; marks are moved back to it.';
