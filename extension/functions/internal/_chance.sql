-- Decides whether a call also does some upkeep: the more messages it takes, the more often. One
-- expression, so that a call is inlined.
CREATE OR REPLACE FUNCTION pgmq._chance(quantity integer, one_in integer)
RETURNS boolean
LANGUAGE sql VOLATILE
AS $$
    SELECT pg_catalog.random() * one_in::double precision < quantity::double precision
$$;
COMMENT ON FUNCTION pgmq._chance(integer, integer) IS
'True by chance: in quantity calls out of one_in.';
