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

CREATE OR REPLACE FUNCTION pgmq._lay_out_groups(queue_name text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
    v_queue text := pgmq.format_table_name(queue_name, 'q');
BEGIN
    PERFORM pgmq._add_mark('live_mark_', queue_name);
    PERFORM pgmq._add_index('fifo_idx_', queue_name);
    -- Upstream's, which none of these functions can use.
    EXECUTE format('DROP INDEX IF EXISTS pgmq.%I', v_queue || '_fifo_idx');
END
$$;
COMMENT ON FUNCTION pgmq._lay_out_groups(text) IS
'Give a queue what finds FIFO groups quickly; safe to repeat.

That is an index by group, and a mark below which no message is alive.';
