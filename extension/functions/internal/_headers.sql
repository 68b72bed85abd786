CREATE OR REPLACE FUNCTION pgmq._headers(headers jsonb)
RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN jsonb_typeof(headers) = 'object' THEN headers ELSE '{}' END
$$;
COMMENT ON FUNCTION pgmq._headers(jsonb) IS
'The headers of a message as an object, an empty one for null, JSON null, a scalar or an array.';

CREATE OR REPLACE FUNCTION pgmq._amended(msg_id bigint, before jsonb, after jsonb)
RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_header text;
BEGIN
    FOREACH v_header IN ARRAY '{x-pgmq-group,x-pgmq-dedup-id}'::text[] LOOP
        IF after ? v_header AND after ->> v_header IS DISTINCT FROM before ->> v_header THEN
            RAISE EXCEPTION 'header % of message % cannot be changed: %',
                v_header, msg_id, after ->> v_header
                USING ERRCODE = 'invalid_parameter_value',
                    HINT = 'Leave it out, and it stays; or delete the message and send another.';
        END IF;
    END LOOP;
    RETURN (
        SELECT coalesce(jsonb_object_agg(h.key, h.value), '{}')
        FROM jsonb_each(pgmq._headers(before)) AS h
        WHERE h.key IN ('x-pgmq-group', 'x-pgmq-dedup-id', 'x-pgmq-dead-letter')
    ) || after;
END
$$;
COMMENT ON FUNCTION pgmq._amended(bigint, jsonb, jsonb) IS
'The headers of a message that gets new ones; raise an error for what cannot be changed.

Its group, its key of deduplication, and what is known of a dead letter stay.';
