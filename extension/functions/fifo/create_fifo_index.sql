CREATE OR REPLACE FUNCTION pgmq.create_fifo_index(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM pgmq._compiled('enqueue', queue_name);      -- an unknown queue is an error
    PERFORM pgmq._lay_out_groups(queue_name);
    IF pgmq._compiled('frontgroups', queue_name) IS NULL THEN
        PERFORM pgmq._compile(queue_name);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq.create_fifo_index(text) IS
'Index a queue by FIFO group, so that the cost of read_grouped and the others does not grow with it.

A send then costs about a fifth more CPU, and a batch of 100 almost half as much again. If the index
is there, this does nothing.

Senders wait while the index is built. To avoid that in a large queue, first create the index by
hand, CONCURRENTLY, under the name and with the expression that this function gives it.';
