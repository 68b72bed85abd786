-- For upkeep on the back of other calls: more of them for whoever takes more messages. One
-- expression, so that a call is inlined.
CREATE OR REPLACE FUNCTION pgmq._chance(quantity integer, one_in integer)
RETURNS boolean
LANGUAGE sql VOLATILE
AS $$
    SELECT pg_catalog.random() * one_in::double precision < quantity::double precision
$$;
COMMENT ON FUNCTION pgmq._chance(integer, integer) IS
'True in so many calls (quantity) of so many (one_in), at random.';
