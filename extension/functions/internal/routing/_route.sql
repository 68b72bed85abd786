CREATE OR REPLACE FUNCTION pgmq._route(
    exchange_name text,
    routing_key text,
    OUT queues text[],
    OUT channels text[]
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    -- A word * or # of the key is null: what would match it literally are the wildcards * and #,
    -- and a step of each kind to one path would walk all behind it twice.
    v_words text[] := array_replace(
        array_replace(string_to_array(routing_key, '.'), '*', null), '#', null
    );
    v_count integer := cardinality(v_words);
    v_key text := CASE WHEN routing_key = '' THEN '' ELSE routing_key || '.' END;
BEGIN
    -- The topics form a tree of words, which is walked word by word. Each node is a probe of the
    -- index: only nodes that the key leads to are looked at, no matter how many bindings there are.
    -- A node holds the numbers of words of the key that the path to it may have used up. A step
    -- goes to the next word or to *, which use up one word, or to #, which uses up any number.
    WITH RECURSIVE walk (path, used) AS (
        SELECT format(E'%s\ntopic\n', _route.exchange_name) COLLATE "C", ARRAY[0]
        UNION ALL
        SELECT
            w.path || n.word || '.',
            CASE
                WHEN n.kind = '#' THEN ARRAY(SELECT generate_series(w.used[1], v_count))
                ELSE ARRAY(
                    SELECT u + 1
                    FROM unnest(w.used) AS u
                    WHERE u < v_count AND (n.kind = '*' OR v_words[u + 1] = n.word)
                )
            END
        FROM walk AS w
        CROSS JOIN LATERAL (
            SELECT
                unnest(ARRAY['', '*', '#']) AS kind,
                unnest(ARRAY[v_words[w.used[1] + 1], '*', '#']) AS word
            UNION ALL
            SELECT DISTINCT '', v_words[u + 1]
            FROM unnest(w.used[2:]) AS u
            WHERE cardinality(w.used) > 1
                AND v_words[u + 1] IS DISTINCT FROM v_words[w.used[1] + 1]
        ) AS n
        WHERE (n.kind = '#' OR w.used[1] < v_count)
            AND EXISTS (
                SELECT FROM pgmq.binding AS b
                WHERE b.path >= w.path || n.word || '.' AND b.path < w.path || n.word || '/'
                OFFSET 0    -- or a plan made while there were few bindings would join all of them
            )
    )
    SELECT
        array_agg(DISTINCT m.queue_name COLLATE "C") FILTER (WHERE m.queue_name IS NOT NULL),
        array_agg(DISTINCT m.channel COLLATE "C") FILTER (WHERE m.channel IS NOT NULL)
    INTO queues, channels
    FROM (
        SELECT b.queue_name, b.channel
        FROM (
            SELECT w.path FROM walk AS w WHERE v_count = ANY (w.used)
            UNION ALL
            SELECT format(E'%s\ndirect\n%s', _route.exchange_name, v_key)
            UNION ALL
            SELECT format(E'%s\nfanout\n', _route.exchange_name)
        ) AS p
        -- OFFSET 0: a plan made while there were few bindings must not join all of them.
        CROSS JOIN LATERAL (
            SELECT b.queue_name, b.channel FROM pgmq.binding AS b WHERE b.path = p.path OFFSET 0
        ) AS b
        UNION ALL
        SELECT b.queue_name, b.channel
        FROM pgmq.binding AS b
        WHERE b.path >= format(E'%s\nregex\n', _route.exchange_name)
            -- The character after a line break.
            AND b.path < format(E'%s\nregex\013', _route.exchange_name)
            AND routing_key ~ b.pattern
    ) AS m;
END
$$;
COMMENT ON FUNCTION pgmq._route(text, text) IS
'The queues and channels that a routing key leads to, each once, in the order of their names.

Null if there are none.';
