-- One expression, so that a query that calls it is a query with that expression, and can use an
-- index on it. A hash, since a group's name may be longer than an index entry; two names with one
-- hash are one group as far as order is concerned.
CREATE OR REPLACE FUNCTION pgmq._group(headers jsonb)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT pg_catalog.hashtextextended(
        coalesce(headers ->> 'x-pgmq-group'::text, '_default_fifo_group'), 0
    )
$$;
COMMENT ON FUNCTION pgmq._group(jsonb) IS 'The FIFO group that headers put a message into, as a number.';
