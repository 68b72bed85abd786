CREATE OR REPLACE FUNCTION pgmq.create_exchange(exchange_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    IF exchange_name IS NULL THEN
        PERFORM pgmq._raise_null('exchange name', 'Give a name of up to 255 bytes.');
    END IF;
    IF octet_length(exchange_name) NOT BETWEEN 1 AND 255 THEN
        RAISE EXCEPTION 'exchange name must have 1 to 255 bytes, not %', octet_length(exchange_name)
            USING ERRCODE = 'invalid_name', HINT = 'Give another name.';
    END IF;
    IF exchange_name ~ E'\n' THEN
        RAISE EXCEPTION 'exchange name contains a line break: %', quote_literal(exchange_name)
            USING ERRCODE = 'invalid_name', HINT = 'Any other character will do.';
    END IF;
    INSERT INTO pgmq.exchange (exchange_name)
    VALUES (create_exchange.exchange_name)
    ON CONFLICT DO NOTHING;
    IF NOT found THEN
        RAISE NOTICE 'exchange "%" already exists, skipping', exchange_name
            USING ERRCODE = 'duplicate_object';
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq.create_exchange(text) IS
'Create an exchange, to which queues and channels are bound and messages are published.

The name has 1 to 255 bytes and no line break. Case matters. If the exchange exists, this only
raises a notice.';
