CREATE OR REPLACE FUNCTION pgmq.extend(queue_name text, msg_id bigint, read_ct integer, vt integer)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_msg_id bigint;
BEGIN
    PERFORM pgmq._check_extension(vt);
    EXECUTE pg_catalog.format(
        'SELECT * FROM pgmq.%I($1, $2, $3, false, null)', pgmq._compiled('shift', queue_name)
    )
    INTO v_msg_id
    USING ARRAY[msg_id], ARRAY[read_ct], vt;
    RETURN v_msg_id IS NOT NULL;
END
$$;
COMMENT ON FUNCTION pgmq.extend(text, bigint, integer, integer) IS
'Extend the lease of a message to vt seconds from now.

False when the lease is no longer the caller''s.';

CREATE OR REPLACE FUNCTION pgmq.extend(
    queue_name text,
    msg_ids bigint[],
    read_cts integer[],
    vt integer
)
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE ROWS 10
AS $$
BEGIN
    PERFORM pgmq._check_leases(msg_ids, read_cts), pgmq._check_extension(vt);
    RETURN QUERY EXECUTE pg_catalog.format(
        'SELECT * FROM pgmq.%I($1, $2, $3, false, null)', pgmq._compiled('shift', queue_name)
    ) USING msg_ids, read_cts, vt;
END
$$;
COMMENT ON FUNCTION pgmq.extend(text, bigint[], integer[], integer) IS
'Extend leases to vt seconds from now, and return the msg_ids of the extended ones.

The leases of the others were no longer the caller''s.';
