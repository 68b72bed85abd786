-- One expression, so that it is inlined into a query, which can then use an index on the expression
-- (see _relations(), which spells it out). What is no digit counts as 4: no header may make a queue
-- unreadable.
CREATE OR REPLACE FUNCTION pgmq._priority(headers jsonb)
RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT coalesce(
        substring(headers ->> 'x-pgmq-priority'::text FROM '^[0-9]$'::text)::integer, 4
    )
$$;
COMMENT ON FUNCTION pgmq._priority(jsonb) IS
'The priority of a message by its header x-pgmq-priority: 0 to 9, or 4 if it says anything else.';

CREATE OR REPLACE FUNCTION pgmq._precedence(
    headers jsonb,
    enqueued_at timestamptz,
    priority_ageing interval
)
RETURNS double precision
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    -- One expression, so that it is inlined.
    SELECT CASE
        WHEN priority_ageing IS NULL THEN (-pgmq._priority(headers))::double precision
        ELSE extract(epoch FROM enqueued_at)::double precision
            - pgmq._priority(headers)::double precision
            * extract(epoch FROM priority_ageing)::double precision
    END
$$;
COMMENT ON FUNCTION pgmq._precedence(jsonb, timestamptz, interval) IS
'By what visible messages of a queue with priorities are sorted; then by msg_id.

This is the priority itself or, with priority_ageing, when the message would have been sent if each
step of its priority were a head start of that length.';

CREATE OR REPLACE FUNCTION pgmq._has_ranks(queue_name text)
RETURNS boolean
LANGUAGE sql STABLE
AS $$
    -- One expression, so that it is inlined.
    SELECT pgmq._relation('ready_rank_idx', queue_name) IS NOT NULL
$$;
COMMENT ON FUNCTION pgmq._has_ranks(text) IS
'Whether a queue has the indexes by priority; they may outlast the option for a while.';

CREATE OR REPLACE FUNCTION pgmq._is_ranked(queue_name text)
RETURNS boolean
LANGUAGE sql STABLE
AS $$
    -- The policy is looked up only where it may be so: that takes longer.
    SELECT pgmq._has_ranks(queue_name) AND (pgmq._policy_of(queue_name)).priorities
$$;
COMMENT ON FUNCTION pgmq._is_ranked(text) IS
'Whether messages of a queue are read in the order of their priorities.';

CREATE OR REPLACE FUNCTION pgmq._priority_marks(suffix text)
RETURNS TABLE (priority integer, ready_mark regclass, parked_mark regclass)
LANGUAGE sql STABLE ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT m.priority, m.ready_mark, m.parked_mark
    FROM (
        SELECT
            p.priority,
            to_regclass(format('pgmq.%I', format('ready%s_mark_%s', p.priority, suffix))),
            to_regclass(format('pgmq.%I', format('parked%s_mark_%s', p.priority, suffix)))
        FROM generate_series(0, 9) AS p (priority)
    ) AS m (priority, ready_mark, parked_mark)
    WHERE pgmq._has_ranks(suffix) AND m.ready_mark IS NOT NULL AND m.parked_mark IS NOT NULL
    ORDER BY m.priority
$$;
COMMENT ON FUNCTION pgmq._priority_marks(text) IS
'The low-water marks of each priority of a queue, by the end of their names; none without priorities.';
