CREATE OR REPLACE FUNCTION pgmq._headers(headers jsonb)
RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN jsonb_typeof(headers) = 'object' THEN headers ELSE '{}' END
$$;
COMMENT ON FUNCTION pgmq._headers(jsonb) IS
'The headers of a message as an object, an empty one for null, JSON null, a scalar or an array.';
