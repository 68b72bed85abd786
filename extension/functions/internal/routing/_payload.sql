CREATE OR REPLACE FUNCTION pgmq._payload(about jsonb, msg jsonb, headers jsonb)
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_content jsonb;
    v_payload text;
BEGIN
    -- The last one always fits.
    FOREACH v_content IN ARRAY ARRAY[
        jsonb_build_object('message', msg, 'headers', headers),
        jsonb_build_object('message_omitted', true, 'headers', headers),
        jsonb_build_object('message', msg, 'headers_omitted', true),
        '{"message_omitted": true, "headers_omitted": true}'
    ] LOOP
        v_payload := about || v_content;
        -- What pg_notify takes.
        EXIT WHEN octet_length(v_payload) < 8000;
    END LOOP;
    RETURN v_payload;
END
$$;
COMMENT ON FUNCTION pgmq._payload(jsonb, jsonb, jsonb) IS
'A message as a payload of NOTIFY: JSON, without the message or the headers if they do not fit.';
