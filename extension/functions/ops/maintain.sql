CREATE OR REPLACE FUNCTION pgmq.maintain(queue_name text DEFAULT null)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_queue_name text;
    v_count bigint := 0;
BEGIN
    IF queue_name IS NOT NULL THEN
        v_count := pgmq._maintain(queue_name);
    ELSE
        FOR v_queue_name IN SELECT m.queue_name FROM pgmq.meta AS m ORDER BY m.queue_name LOOP
            -- One that cannot be maintained must not keep the others from it.
            BEGIN
                v_count := v_count + pgmq._maintain(v_queue_name);
            EXCEPTION WHEN OTHERS THEN
                RAISE WARNING 'maintenance of queue "%" failed: %', v_queue_name, SQLERRM;
            END;
        END LOOP;
    END IF;
    PERFORM pgmq.close_dead_channels();
    RETURN v_count;
END
$$;
COMMENT ON FUNCTION pgmq.maintain(text) IS
'Do at once, for one queue or (null) for all, what other calls do in small steps: move away the messages that were received too often or have expired, wherever in the queue they are, remove what archive_retention and dedup_window keep no longer, put right the low-water marks (after a restore, or a takeover from logical replication), add, fill and drop the partitions of partitioned queues, close dead channels. Returns how many messages and keys it moved or removed, in one transaction. For a scheduler, such as pg_cron; reads go on meanwhile, except on a partitioned queue of which partitions are added or dropped, or messages moved from the default one: it is locked until the transaction ends, for an addition against writers alone, and for one of later times not at all. What cannot be locked within a second is a warning, and left. Where one of all queues fails, that is a warning.';
