--# for rate_limit or paused_leases
-- Count these messages, which this transaction has locked to hand them out, and return how many
-- more may be handed out now, and when the next one may. For none ('{}', or null, which changes
-- nothing) only return that. While reads are paused, none may ever. Nothing is returned where the
-- limit was switched off.
--
-- The algorithm is the generic cell rate algorithm. Its state is one number in a sequence: when the
-- messages that were handed out would be through if they came one by one, at the even rate. A burst
-- is how far this may be ahead of the clock. So within any time no more messages come than a burst
-- and what the rate allows in that time. All numbers are whole microseconds, rounded up. A state
-- that is further ahead (the clock was set back) is cut to a burst, and not forgotten: that would
-- allow another one. setval() is not undone by a rollback, so the share of a read that was rolled
-- back is used up.
--
-- One session at a time counts: see meter.
--
-- SECURITY DEFINER: a reader has no right to set the sequence. Messages count only for consumers:
-- see bury.
CREATE OR REPLACE FUNCTION pgmq._gate_$queue(
    msg_ids bigint[],
    OUT allowance integer,
    OUT opens_at timestamptz
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_limit CONSTANT numeric := rate_limit$policy;
    v_burst CONSTANT numeric := coalesce(rate_burst$policy, rate_limit$policy);
    v_interval CONSTANT numeric := pgmq._duration(coalesce(rate_interval$policy, '1 second'));
    v_now CONSTANT numeric := pgmq._microseconds(clock_timestamp());
    v_last numeric;
    v_state numeric;
BEGIN
    --# if paused_leases
    allowance := 0;
    opens_at := 'infinity';
    RETURN;
    --# end
    IF v_limit IS NULL THEN
        RETURN;
    END IF;
    v_last := coalesce(pg_sequence_last_value('pgmq.rate_$queue'), 0);
    v_state := least(v_last, v_now + pgmq._divided_up(v_burst * v_interval, v_limit));
    IF cardinality(msg_ids) > 0 AND (
        pgmq._is_user('pgmq.q_$queue', 'UPDATE')
        OR EXISTS (
            SELECT FROM pgmq.q_$queue AS q
            WHERE lookup$partitions(q) AND q.msg_id = ANY (msg_ids) AND pgmq._is_own(q.xmax)
        )
    )
    THEN
        v_state := greatest(v_state, v_now)
            + pgmq._divided_up(cardinality(msg_ids) * v_interval, v_limit);
    END IF;
    IF v_state <> v_last AND msg_ids IS NOT NULL THEN
        PERFORM setval('pgmq.rate_$queue', v_state::bigint);
    END IF;
    allowance := greatest(
        v_burst - pgmq._divided_up(greatest(v_state - v_now, 0) * v_limit, v_interval), 0
    );
    opens_at := to_timestamp(
        (v_state - div((v_burst - 1) * v_interval, v_limit))::double precision / 1e6
    );
END
$$;
