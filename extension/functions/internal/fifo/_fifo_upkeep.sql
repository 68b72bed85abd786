CREATE OR REPLACE FUNCTION pgmq._fifo_upkeep(queue_name text, suffix text, quantity integer)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pgmq._chance(least(quantity, 8), 32) OR pgmq._is_sweep_due(
        to_regclass(format('pgmq.%I', concat('parked_mark_', suffix))),
        to_regclass(format('pgmq.%I', concat('sweep_due_', suffix)))
    )
    THEN
        PERFORM pgmq._look_after(queue_name, quantity);
        RETURN true;
    END IF;
    RETURN false;
END
$$;
COMMENT ON FUNCTION pgmq._fifo_upkeep(text, text, integer) IS
'The upkeep that a read does now and then, or when a sweep is due; returns whether it was done.';
