CREATE OR REPLACE FUNCTION pgmq.create_fair_index(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM pgmq._compiled('receive', queue_name);     -- an unknown queue is an error
    PERFORM pgmq._refuse_stream(queue_name);
    PERFORM pgmq._lay_out_turns(queue_name);
    IF pgmq._compiled('fairgroups', queue_name) IS NULL THEN
        PERFORM pgmq._compile(queue_name);
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq.create_fair_index(text) IS
'Index a queue by group, so that groups can take turns: read_fair needs it.

A group is the header x-pgmq-group, as for FIFO groups, which have another index. If the index is
there, this does nothing; set_policy makes it for max_in_flight_per_group.

Senders wait while the index is built. To avoid that in a large queue, first create its two indexes
by hand, CONCURRENTLY, under the names and with the expressions that this function gives them.';
