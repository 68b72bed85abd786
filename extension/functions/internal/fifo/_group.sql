-- One expression, so that it is inlined into a query, which can then use an index on the
-- expression. It is a hash, since a group's name may be longer than an index entry. For the order,
-- two names with the same hash are one group.
CREATE OR REPLACE FUNCTION pgmq._group(headers jsonb)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT pg_catalog.hashtextextended(
        coalesce(headers ->> 'x-pgmq-group'::text, '_default_fifo_group'), 0
    )
$$;
COMMENT ON FUNCTION pgmq._group(jsonb) IS 'The FIFO group that headers put a message into, as a number.';
