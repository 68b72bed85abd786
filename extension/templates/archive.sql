-- Move one message, leased or not, to the archive.
CREATE OR REPLACE FUNCTION pgmq._archive_$queue(id bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
AS $$
DECLARE
    v_found boolean;
BEGIN
    ASSERT pgmq._may('DELETE', queue_name$policy, 'pgmq.q_$queue');
    --# if partitioned
    IF pgmq._keeps_snapshot() THEN
        PERFORM pgmq._check_snapshot('pgmq.q_$queue');
    END IF;
    --# end
    WITH removed AS (
        DELETE FROM pgmq.q_$queue AS m
        WHERE $timely(m) AND m.msg_id = id
        RETURNING m.msg_id, m.read_ct, m.enqueued_at, m.last_read_at, m.vt, m.message, m.headers
    )
    INSERT INTO pgmq.a_$queue (msg_id, read_ct, enqueued_at, last_read_at, vt, message, headers)
    SELECT r.msg_id, r.read_ct, r.enqueued_at, r.last_read_at, r.vt, r.message, r.headers
    FROM removed AS r;
    v_found := FOUND;
    --# if archive_retention
    IF pgmq._chance(1, 32) THEN
        PERFORM pgmq._upkeep_$queue(1);
    END IF;
    --# end
    RETURN v_found;
END
$$;
