CREATE OR REPLACE FUNCTION pgmq._relation_name(role text, queue_name text)
RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    -- One expression, so that it is inlined.
    SELECT CASE role
        WHEN 'queue' THEN pgmq.format_table_name(queue_name, 'q')
        WHEN 'archive' THEN pgmq.format_table_name(queue_name, 'a')
        ELSE role || '_' || pgmq._suffix(queue_name)
    END
$$;
COMMENT ON FUNCTION pgmq._relation_name(text, text) IS
'The name of a relation of a queue, not quoted, by its role (see _relations()).';

CREATE OR REPLACE FUNCTION pgmq._relation(role text, queue_name text)
RETURNS regclass
LANGUAGE sql STABLE
AS $$
    -- One expression, so that it is inlined.
    SELECT to_regclass(pg_catalog.format('pgmq.%I', pgmq._relation_name(role, queue_name)))
$$;
COMMENT ON FUNCTION pgmq._relation(text, text) IS
'A relation of a queue by its role (see _relations()); null if it is missing.';

CREATE OR REPLACE FUNCTION pgmq._queue_table(queue_name text, is_archive boolean DEFAULT false)
RETURNS regclass
LANGUAGE sql STABLE
AS $$
    -- One expression, so that it is inlined.
    SELECT to_regclass(pg_catalog.format('pgmq.%I', pgmq.format_table_name(
        queue_name, CASE WHEN is_archive THEN 'a' ELSE 'q' END
    )))
$$;
COMMENT ON FUNCTION pgmq._queue_table(text, boolean) IS
'The table of a queue, or its archive, whatever the case of the name; null if it is missing.';

CREATE OR REPLACE FUNCTION pgmq._ids_name(queue_name text)
RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(
        (
            SELECT s.relname::text
            FROM pg_class AS c
            CROSS JOIN pg_get_serial_sequence(format('pgmq.%I', c.relname), 'msg_id') AS i (name)
            INNER JOIN pg_class AS s ON i.name::regclass = s.oid
            WHERE c.oid = pgmq._queue_table(queue_name)
        ),
        format('%s_msg_id_seq', pgmq.format_table_name(queue_name, 'q'))
    )
$$;
COMMENT ON FUNCTION pgmq._ids_name(text) IS
'The name of the sequence of a queue''s msg_ids, not quoted; Postgres creates it with the table.';

CREATE OR REPLACE FUNCTION pgmq._sequence_value(sequence regclass)
RETURNS bigint
LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_value bigint;
BEGIN
    -- Not pg_sequence_last_value(): its lock stays even when a savepoint is rolled back.
    EXECUTE format('SELECT s.last_value FROM %s AS s WHERE s.is_called', sequence) INTO v_value;
    RETURN v_value;
END
$$;
COMMENT ON FUNCTION pgmq._sequence_value(regclass) IS
'The last value of a sequence, null if it has none; for callers that look at thousands of queues.';

CREATE OR REPLACE FUNCTION pgmq._owner(relation regclass)
RETURNS regrole
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT c.relowner FROM pg_class AS c WHERE c.oid = relation);
END
$$;
COMMENT ON FUNCTION pgmq._owner(regclass) IS 'The owner of a relation; null if it is missing.';

CREATE OR REPLACE FUNCTION pgmq._is_unlogged(relation regclass)
RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT c.relpersistence = 'u' FROM pg_class AS c WHERE c.oid = relation);
END
$$;
COMMENT ON FUNCTION pgmq._is_unlogged(regclass) IS
'Whether a crash empties a relation; null if it is missing.';

CREATE OR REPLACE FUNCTION pgmq._is_here(relation regclass)
RETURNS boolean
LANGUAGE sql STABLE
AS $$
    -- One expression, so that it is inlined; outside of recovery it looks nothing up. The catalog is
    -- asked and not pgmq.meta, which does not know of an ALTER TABLE by hand.
    SELECT NOT pg_catalog.pg_is_in_recovery() OR NOT pgmq._is_unlogged(relation)
$$;
COMMENT ON FUNCTION pgmq._is_here(regclass) IS
'Whether this server has the rows of a relation: a standby does not have those of unlogged ones.';

-- The one list of the relations of a queue. Not listed are its functions, and what Postgres creates
-- with a table: the sequence of msg_ids and the indexes of keys. All code that creates, checks,
-- drops or releases a queue goes by this list. (upgrade/prepare.sql repeats definitions: it runs
-- where this function does not exist yet.)
CREATE OR REPLACE FUNCTION pgmq._relations(queue_name text)
RETURNS TABLE (
    role text,
    kind text,          -- table, index or sequence
    name text,
    parent text,        -- the role of the table that an index is of
    definition text,    -- of an index; %I is the column that the queue is partitioned by
    needed_by text,     -- the feature of a queue that has this relation; null: every queue has it
    title text
)
LANGUAGE sql STABLE ROWS 27
AS $$
    SELECT
        r.role, r.kind, pgmq._relation_name(r.role, queue_name), r.parent, r.definition,
        r.needed_by, r.title
    FROM (
        VALUES
            ('queue', 'table', null, null, null, 'table of the queue'),
            ('archive', 'table', null, null, 'leases', 'archive'),
            ('dedup', 'table', null, null, 'dedup', 'table of deduplication keys'),
            ('lane', 'table', null, null, 'stream', 'table of the groups'' lanes'),

            -- Ready: never read and not delayed. Parked: delayed, in flight or returned. A lease
            -- moves a message from one index to the other.
            ('ready_idx', 'index', 'queue', '(msg_id) WHERE vt <= enqueued_at', 'leases',
                'index of ready messages'),
            ('parked_idx', 'index', 'queue', '(vt) WHERE vt > enqueued_at', 'leases',
                'index of parked messages'),
            ('part_idx', 'index', 'queue', '(%I)', 'partitioned', 'index of the partition key'),
            ('msg_id_idx', 'index', 'queue', '(msg_id)', 'by_time', 'index of msg_ids'),
            -- The expression of _group(), spelt out: an index must not depend on the extension. And
            -- not msg_id itself, or the planner might use this index to look messages up by msg_id,
            -- and read would return them in the order of their groups.
            ('fifo_idx', 'index', 'queue',
                '(hashtextextended(coalesce(headers ->> ''x-pgmq-group'', ''_default_fifo_group''), 0),'
                ' (msg_id + 0))', 'fifo', 'index of groups'),
            -- The same two places, by group: where groups take turns, or have a limit of leases each.
            -- (least(vt) and not vt, or the planner might use parked_idx for their order.)
            ('fair_ready_idx', 'index', 'queue',
                '(hashtextextended(coalesce(headers ->> ''x-pgmq-group'', ''_default_fifo_group''), 0),'
                ' (msg_id + 0)) WHERE vt <= enqueued_at', 'fair', 'index of ready messages by group'),
            ('fair_parked_idx', 'index', 'queue',
                '(hashtextextended(coalesce(headers ->> ''x-pgmq-group'', ''_default_fifo_group''), 0),'
                ' (last_read_at IS NOT NULL), (least(vt))) WHERE vt > enqueued_at', 'fair',
                'index of parked messages by group'),
            -- Leases are counted by this index. A message that was never read, or was given back,
            -- is not leased.
            ('in_flight_idx', 'index', 'queue', '(vt) WHERE last_read_at IS NOT NULL',
                'max_in_flight', 'index of leases'),
            -- The expression of _priority(), spelt out for the same reason.
            ('ready_rank_idx', 'index', 'queue',
                '(coalesce(substring(headers ->> ''x-pgmq-priority'' FROM ''^[0-9]$'')::integer, 4),'
                ' msg_id) WHERE vt <= enqueued_at', 'priorities',
                'index of ready messages by priority'),
            ('parked_rank_idx', 'index', 'queue',
                '(coalesce(substring(headers ->> ''x-pgmq-priority'' FROM ''^[0-9]$'')::integer, 4),'
                ' vt) WHERE vt > enqueued_at', 'priorities',
                'index of parked messages by priority'),
            ('archived_at_idx', 'index', 'archive', '(archived_at)', 'leases',
                'index of the time of archiving'),
            ('archived_id_idx', 'index', 'archive', '(msg_id)', 'partitioned_archive',
                'index of archived msg_ids'),
            ('sent_at_idx', 'index', 'dedup', '(sent_at)', 'dedup',
                'index of the age of deduplication keys'),

            ('ready_mark', 'sequence', null, null, 'leases', 'low-water mark of ready messages'),
            ('parked_mark', 'sequence', null, null, 'leases', 'low-water mark of parked messages'),
            ('sweep_due', 'sequence', null, null, 'leases', 'time of the next sweep'),
            ('live_mark', 'sequence', null, null, 'fifo', 'low-water mark of all messages'),
            ('turn', 'sequence', null, null, 'fair', 'place of the group whose turn it is'),
            ('floor_mark', 'sequence', null, null, 'partitioned', 'mark of the first partition'),
            ('top_mark', 'sequence', null, null, 'partitioned', 'mark of the last partition'),
            ('epoch', 'sequence', null, null, 'stream', 'sequence of epochs'),
            ('tend_due', 'sequence', null, null, 'partitions',
                'time of the next upkeep of partitions'),
            ('rate', 'sequence', null, null, 'rate_limit', 'time up to which the rate is used up'),
            ('tick_due', 'sequence', null, null, 'schedules',
                'time of the next look at schedules'),
            ('notify_at', 'sequence', null, null, 'notify', 'time of the last notification'),
            ('armed_until', 'sequence', null, null, 'wakeups', 'mark of who waits to be woken')
        UNION ALL
        SELECT
            pg_catalog.concat(k.kind, p.priority, '_mark'), 'sequence', null, null, 'priorities',
            pg_catalog.format('low-water mark of %s messages of priority %s', k.kind, p.priority)
        FROM generate_series(0, 9) AS p (priority)
        CROSS JOIN (VALUES ('ready'), ('parked')) AS k (kind)
    ) AS r (role, kind, parent, definition, needed_by, title)
$$;
COMMENT ON FUNCTION pgmq._relations(text) IS
'The tables, indexes and sequences of a queue, as if it had every feature.';
