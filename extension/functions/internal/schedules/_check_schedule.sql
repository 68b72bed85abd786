CREATE OR REPLACE FUNCTION pgmq._queue_to_schedule(queue_name text)
RETURNS text
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_owner regrole;
    v_name text;
BEGIN
    PERFORM pgmq._compiled('enqueue', queue_name);     -- an unknown queue is an error
    v_name := pgmq._lock_queue(queue_name);
    v_owner := pgmq._owner(pgmq._queue_table(v_name));
    IF NOT pg_has_role(v_owner, 'USAGE') THEN
        RAISE EXCEPTION 'only its owner changes the schedules of queue "%"', v_name
            USING ERRCODE = 'insufficient_privilege', HINT = format('That is role %s.', v_owner);
    END IF;
    -- What is due is sent with the owner's rights.
    IF NOT has_table_privilege(v_owner, 'pgmq.schedule', 'UPDATE') THEN
        RAISE EXCEPTION 'the owner of queue "%", %, has no right to schedules', v_name, v_owner
            USING ERRCODE = 'insufficient_privilege',
                HINT = format(
                    'The owner of the schema pgmq can call SELECT pgmq.grant_create(%L).',
                    v_owner::text
                );
    END IF;
    RETURN v_name;
END
$$;
COMMENT ON FUNCTION pgmq._queue_to_schedule(text) IS
'The proper name of a queue whose schedules are about to change, locked against being dropped.

Raises an error for an unknown queue, and for anybody but its owner.';

CREATE OR REPLACE FUNCTION pgmq._check_schedule(
    name text,
    cron text,
    headers jsonb,
    timezone text,
    catch_up boolean
)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_missing CONSTANT text := CASE
        WHEN name IS NULL THEN 'name of a schedule'
        WHEN cron IS NULL THEN 'cron expression or interval'
        WHEN timezone IS NULL THEN 'timezone'
        WHEN catch_up IS NULL THEN 'catch_up'
    END;
BEGIN
    IF v_missing IS NOT NULL THEN
        PERFORM pgmq._raise_null(v_missing, 'To end a schedule, call SELECT pgmq.unschedule(name).');
    END IF;
    IF octet_length(name) NOT BETWEEN 1 AND 255 THEN
        RAISE EXCEPTION 'name of schedule "%" must have 1 to 255 bytes, not %',
            left(name, 40), octet_length(name)
            USING ERRCODE = 'name_too_long', HINT = 'Choose another name.';
    END IF;
    IF jsonb_typeof(headers) <> 'object' THEN
        RAISE EXCEPTION 'headers of a schedule must be a JSON object, not %: %',
            jsonb_typeof(headers), headers
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'Each message gets one more of them, x-pgmq-schedule.';
    END IF;
    BEGIN
        PERFORM now() AT TIME ZONE timezone;
    EXCEPTION WHEN invalid_parameter_value THEN
        RAISE EXCEPTION 'there is no time zone "%"', timezone
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'SELECT name FROM pg_timezone_names lists those there are.';
    END;
END
$$;
COMMENT ON FUNCTION pgmq._check_schedule(text, text, jsonb, text, boolean) IS
'Raise an error unless the arguments of a schedule make sense.';
