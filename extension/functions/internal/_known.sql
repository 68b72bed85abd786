-- None of this is secret (see privileges.sql), and calls need it whoever makes them. But a script
-- may revoke all tables of the schema from PUBLIC, which takes nothing away from users of pgmq
-- 1.13. So what is looked up for others than the owner of pgmq is looked up with that one's rights.
-- (_policy_of(), _pause_of(), _is_listed() and _route() are of this kind, too.)
CREATE OR REPLACE FUNCTION pgmq._templates()
RETURNS SETOF pgmq.template
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.* FROM pgmq.template AS t
$$;
COMMENT ON FUNCTION pgmq._templates() IS 'The templates, whatever rights the caller has.';

CREATE OR REPLACE FUNCTION pgmq._partitioning_of(queue_name text, is_archive boolean)
RETURNS SETOF pgmq.partitioning
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.*
    FROM pgmq.partitioning AS p
    WHERE lower(p.queue_name) = lower(_partitioning_of.queue_name)
        AND p.is_archive = _partitioning_of.is_archive
$$;
COMMENT ON FUNCTION pgmq._partitioning_of(text, boolean) IS
'How a queue, or its archive, is partitioned; no row where it is not, or by pg_partman.';

CREATE OR REPLACE FUNCTION pgmq._ticks_of(queue_name text)
RETURNS SETOF timestamptz
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.next_at FROM pgmq.schedule AS s WHERE lower(s.queue_name) = lower(_ticks_of.queue_name)
$$;
COMMENT ON FUNCTION pgmq._ticks_of(text) IS
'For each schedule of a queue, when its next message is due; null if it is paused.';

CREATE OR REPLACE FUNCTION pgmq._groups_of(stream_name text)
RETURNS SETOF pgmq.stream_group
LANGUAGE sql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    -- Two queries, since OR would keep the first from using its index.
    SELECT g.* FROM pgmq.stream_group AS g WHERE lower(g.queue_name) = lower(stream_name)
    UNION ALL
    SELECT g.* FROM pgmq.stream_group AS g WHERE stream_name IS NULL
$$;
COMMENT ON FUNCTION pgmq._groups_of(text) IS
'The groups of a stream (null: of all streams), and their options.';

CREATE OR REPLACE FUNCTION pgmq._segments_of(stream_name text)
RETURNS SETOF pgmq.stream_segment
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.* FROM pgmq.stream_segment AS s WHERE lower(s.queue_name) = lower(stream_name)
$$;
COMMENT ON FUNCTION pgmq._segments_of(text) IS 'The segments of a stream.';

CREATE OR REPLACE FUNCTION pgmq._is_exchange(exchange_name text)
RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM pgmq.exchange AS e WHERE e.exchange_name = _is_exchange.exchange_name
    )
$$;
COMMENT ON FUNCTION pgmq._is_exchange(text) IS 'Whether there is an exchange of this name.';

CREATE OR REPLACE FUNCTION pgmq._is_pinned(queue_name text)
RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM pgmq.pinned AS p WHERE lower(p.queue_name) = lower(_is_pinned.queue_name)
    )
$$;
COMMENT ON FUNCTION pgmq._is_pinned(text) IS
'Whether a queue is listed as pinned; _pinned() says whether the functions know it.';

CREATE OR REPLACE FUNCTION pgmq._stored_policy(queue_name text)
RETURNS pgmq.policy
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    -- By the index, for callers that look at thousands of queues.
    SELECT p.* FROM pgmq.policy AS p WHERE p.queue_name = _stored_policy.queue_name
$$;
COMMENT ON FUNCTION pgmq._stored_policy(text) IS
'The policy of a queue by its name as it was created; null where none is stored.';
