-- Remember which messages were sent with the keys that this transaction has reserved. The key is
-- that of the message, which must be the transaction's: who could not send it cannot take a key.
-- One by one: of a join, the planner might begin with all the keys there are.
CREATE OR REPLACE FUNCTION pgmq._remember_$queue(msg_ids bigint[])
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    --# if dedup_window
    v_msg_id bigint;
    --# end
BEGIN
    --# if dedup_window
    FOREACH v_msg_id IN ARRAY msg_ids LOOP
        UPDATE pgmq.dedup_$queue AS d
        SET msg_id = v_msg_id
        WHERE d.msg_id IS NULL
            AND d.dedup_key = (
                SELECT q.headers ->> 'x-pgmq-dedup-id'
                FROM pgmq.q_$queue AS q
                WHERE $timely(q) AND q.msg_id = v_msg_id AND q.enqueued_at = now()
            );
    END LOOP;
    --# end
END
$$;
