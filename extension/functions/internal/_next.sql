-- Acknowledged leases leave dead index entries at future times, which no mark can pass. If there
-- may be many, the search goes in steps and ends after some of them. The result is then the time up
-- to which there is no message.
CREATE OR REPLACE FUNCTION pgmq._next_visible(queue_name text, until timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_statement text;
    v_began CONSTANT timestamptz := clock_timestamp();
    v_has_many_dead CONSTANT boolean := coalesce(
        pg_relation_size(pgmq._relation('parked_idx', queue_name)) > 1000000 AND pg_stat_get_dead_tuples(pgmq._queue_table(queue_name)) > 20000,
        false       -- it has just been dropped
    );
    v_since timestamptz;
    v_place timestamptz := CASE WHEN v_has_many_dead THEN v_began ELSE until END;
    v_next timestamptz;
BEGIN
    PERFORM pgmq._lock_table_first(queue_name);
    v_statement := format('SELECT pgmq.%I($1, $2, $3)', pgmq._compiled('soonest', queue_name));
    FOR step IN 0 .. 75 LOOP            -- 11 minutes
        EXECUTE v_statement INTO v_next USING v_began, v_since, v_place;
        -- If so many must not be handed out, reads have to move them away before others are seen.
        IF step = 0 AND v_next IS NULL AND pgmq._enabled('bury', queue_name) IS NOT NULL THEN
            IF cardinality(pgmq._visible(queue_name, v_began, 1000, null)) = 1000 THEN
                RETURN now();
            END IF;
        END IF;
        IF v_next IS NOT NULL OR v_place = until THEN
            RETURN v_next;
        END IF;
        -- Search some seconds ahead at least, or a waiting consumer would ask in vain all the time.
        EXIT WHEN step > 7 AND clock_timestamp() > v_began + interval '3 milliseconds';
        v_since := v_place;
        v_place := least(until, v_place + CASE
            WHEN step < 31 THEN interval '0.5 seconds'
            ELSE interval '15 seconds'
        END);
    END LOOP;
    RETURN v_place;
END
$$;
COMMENT ON FUNCTION pgmq._next_visible(text, timestamptz) IS
'When the next message is visible: the vt of the first ready one, or of the first parked one.

Null when there is none. No time later than until is returned. Visible messages that no read would
return, since they have expired or were received too often, do not count; up to 1,000 of them are
passed. Hidden ones count: the read that finds them due takes them away.';

CREATE OR REPLACE FUNCTION pgmq._next(queue_name text, until timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_next timestamptz := pgmq._next_visible(queue_name, until);
    v_gate CONSTANT text := pgmq._enabled('gate', queue_name);
BEGIN
    IF v_gate IS NOT NULL AND v_next IS NOT NULL THEN
        EXECUTE format(
            'SELECT least($2, greatest($1, g.opens_at)) FROM pgmq.%I(null) AS g'
            ' WHERE g.opens_at IS DISTINCT FROM ''infinity''', v_gate
        )
        INTO v_next
        USING v_next, until;
    END IF;
    RETURN v_next;
END
$$;
COMMENT ON FUNCTION pgmq._next(text, timestamptz) IS
'When the next message may be had: when it is visible, and rate_limit lets it through.

Null when there is none, or reads are paused. No time later than until is returned.';
