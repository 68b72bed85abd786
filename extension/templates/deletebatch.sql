-- Remove messages, leased or not.
CREATE OR REPLACE FUNCTION pgmq._deletebatch_$queue(msg_ids bigint[])
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 10
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    RETURN QUERY
        DELETE FROM pgmq.q_$queue AS m
        WHERE m.msg_id = ANY (msg_ids)
        RETURNING m.msg_id;
END
$$;
