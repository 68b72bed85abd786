-- For REPEATABLE READ and SERIALIZABLE. If upkeep has moved a message to a new partition since the
-- snapshot was taken, the snapshot shows it in neither place. Such a transaction must begin again.
CREATE OR REPLACE FUNCTION pgmq._keeps_snapshot()
RETURNS boolean
LANGUAGE sql STABLE
AS $$
    SELECT pg_catalog.current_setting('transaction_isolation'::text) <> 'read committed'::text
$$;
COMMENT ON FUNCTION pgmq._keeps_snapshot() IS
'Whether all statements of the transaction see the database as it was at its beginning.';

CREATE OR REPLACE FUNCTION pgmq._check_snapshot(relation regclass)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- This waits for a transaction that is moving messages now.
    EXECUTE format('LOCK TABLE ONLY %s IN ACCESS SHARE MODE', relation);
    -- The first part shows the present state, the second one the snapshot.
    IF EXISTS (
        SELECT t.relid::oid FROM pg_partition_tree(relation) AS t WHERE t.parentrelid = relation
        EXCEPT ALL
        SELECT i.inhrelid FROM pg_inherits AS i WHERE i.inhparent = relation
    )
    THEN
        RAISE EXCEPTION 'could not serialize access due to a new partition of table %', relation
            USING ERRCODE = 'serialization_failure',
                HINT = 'The transaction might succeed if retried.';
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._check_snapshot(regclass) IS
'Raise a serialization failure when a table has a partition that is not in the snapshot.';
