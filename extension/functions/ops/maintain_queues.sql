CREATE OR REPLACE PROCEDURE pgmq.maintain_queues()
LANGUAGE plpgsql
AS $$
DECLARE
    v_queue_name text;
BEGIN
    -- Without a search_path of its own, or it could not commit.
    FOR v_queue_name IN SELECT m.queue_name FROM pgmq.meta AS m ORDER BY m.queue_name LOOP
        -- One that cannot be maintained must not keep the others from it.
        BEGIN
            PERFORM pgmq.maintain(v_queue_name);
        EXCEPTION
            WHEN undefined_table THEN
                NULL;       -- dropped meanwhile
            WHEN OTHERS OR assert_failure THEN
                RAISE WARNING 'maintenance of queue "%" failed: %', v_queue_name, SQLERRM;
        END;
        COMMIT;
    END LOOP;
END
$$;
COMMENT ON PROCEDURE pgmq.maintain_queues() IS -- noqa: LT01
'As maintain for all queues, with a commit after each, for those who have many.

A partitioned queue is not locked while others are maintained, and no transaction holds more locks than the server has room for. To be called outside a transaction, by pg_cron for example.';
