CREATE OR REPLACE FUNCTION pgmq.commit_and_fetch(
    stream_name text,
    group_name text,
    lane integer,
    epoch bigint,
    vt integer,
    qty integer
)
RETURNS SETOF pgmq.stream_record
LANGUAGE plpgsql VOLATILE ROWS 100
AS $$
BEGIN
    IF lane IS NOT NULL AND NOT pgmq.commit(stream_name, group_name, lane, epoch) THEN
        RAISE EXCEPTION 'the lease of lane % of group "%" is lost', lane, group_name
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'It was committed before, or others get it: call fetch() to go on.';
    END IF;
    RETURN QUERY SELECT * FROM pgmq.fetch(stream_name, group_name, vt, qty);
END
$$;
COMMENT ON FUNCTION pgmq.commit_and_fetch(text, text, integer, bigint, integer, integer) IS
'Commit the last batch and lease the next one, in one statement and one commit.

With a null lane nothing is committed, as at the beginning. If the lease of the last batch is lost,
this raises an error (object_not_in_prerequisite_state), and leases nothing. The next batch may be
of another lane. No rows mean that nothing is leased: begin with a null lane again.';
