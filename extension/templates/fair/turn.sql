--# for fair
-- Set the place of the group whose turn is next. It is only a hint: a sequence, set without a
-- transaction, so that sessions go on from each other's place and none waits. (SECURITY DEFINER,
-- since consumers have no right to it; of others, nothing is taken.)
CREATE OR REPLACE FUNCTION pgmq._turn_$queue(place bigint)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF has_any_column_privilege(
        coalesce(nullif(current_setting('role'), 'none'), session_user::text),
        'pgmq.q_$queue', 'UPDATE'
    )
        OR pgmq._is_user('pgmq.q_$queue', 'UPDATE')
    THEN
        PERFORM setval('pgmq.turn_$queue', place);
    END IF;
END
$$;
