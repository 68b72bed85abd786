-- Whether a call that has found nothing may leave it at that: no message is visible, locked or not,
-- and the marks need no looking after. One in 16 such calls says no all the same: the polls of an
-- idle queue keep its marks up, and find a straggler as soon as a sweep is due. Part of read and
-- pop, with their settings.
CREATE OR REPLACE FUNCTION pgmq._idle_$queue(as_of timestamptz)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    RETURN NOT (
        pgmq._chance(1, 16)
        OR EXISTS (
            SELECT FROM pgmq.q_$queue AS q
            WHERE live$partitions(q) AND q.vt <= q.enqueued_at
                AND q.msg_id >= pgmq._id_mark('pgmq.ready_mark_$queue')
        )
        OR EXISTS (
            SELECT FROM pgmq.q_$queue AS q
            WHERE live$partitions(q) AND q.vt > q.enqueued_at AND q.vt <= as_of
                AND q.vt >= pgmq._parked_mark('pgmq.parked_mark_$queue')
        )
        OR pgmq._is_sweep_due('pgmq.parked_mark_$queue', 'pgmq.sweep_due_$queue')
    );
END
$$;
