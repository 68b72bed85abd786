--# for partitioned
-- Lock the visible messages with the smallest msg_id and return their ids, as choose does, but look
-- only at the first partitions, even if more have messages. The messages there precede all others
-- (by time: all but those of long transactions). Return nothing if they are too few or a parked one
-- among them is due; the caller then uses _choose().
CREATE OR REPLACE FUNCTION pgmq._front_$queue(quantity integer)
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    v_now CONSTANT timestamptz := clock_timestamp();
    v_ids bigint[];
BEGIN
    v_ids := ARRAY(
        SELECT q.msg_id
        FROM pgmq.q_$queue AS q
        WHERE front$partitions(q) AND q.vt <= q.enqueued_at
            AND q.msg_id >= (SELECT pgmq._id_mark('pgmq.ready_mark_$queue'))
            AND NOT EXISTS (
                SELECT FROM pgmq.q_$queue AS d
                WHERE front$partitions(d) AND d.vt > d.enqueued_at AND d.vt <= v_now
                    AND d.vt >= pgmq._parked_mark('pgmq.parked_mark_$queue')
            )
            AND pgmq._may('UPDATE', queue_name$policy, 'pgmq.q_$queue')
        ORDER BY q.msg_id
        LIMIT quantity
        FOR UPDATE SKIP LOCKED
    );
    IF (pg_catalog.cardinality(v_ids) = quantity) IS NOT TRUE
        AND (SELECT front_key$partitions < last_key$partitions WHERE v_ids IS NOT NULL)
    THEN
        RETURN '{}'::bigint[];
    END IF;
    RETURN v_ids;
END
$$;
