CREATE OR REPLACE FUNCTION pgmq.drop_exchange(exchange_name text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM pgmq._check_cascade(pg_catalog.format('exchange "%s"', exchange_name));
    DELETE FROM pgmq.exchange AS e WHERE e.exchange_name = drop_exchange.exchange_name;
    IF NOT found THEN
        RAISE NOTICE 'exchange "%" does not exist', exchange_name;
        RETURN false;
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION pgmq.drop_exchange(text) IS
'Drop an exchange with its bindings; queues and their messages stay.

False, with a notice, when there is no such exchange.';
