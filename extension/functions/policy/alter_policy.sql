CREATE OR REPLACE FUNCTION pgmq.alter_policy(
    queue_name text,
    max_receives integer DEFAULT null,
    dead_letter_queue text DEFAULT null,
    retry_delay interval DEFAULT null,
    retry_delay_max interval DEFAULT null,
    retry_jitter double precision DEFAULT null,
    message_ttl interval DEFAULT null,
    archive_retention interval DEFAULT null,
    dedup_window interval DEFAULT null,
    max_in_flight integer DEFAULT null,
    ack_archives boolean DEFAULT null,
    rate_limit integer DEFAULT null,
    rate_interval interval DEFAULT null,
    rate_burst integer DEFAULT null,
    max_in_flight_per_group integer DEFAULT null,
    dedup_scope text DEFAULT null,
    priorities boolean DEFAULT null,
    priority_ageing interval DEFAULT null,
    clear text[] DEFAULT '{}'
)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET intervalstyle = 'postgres'
AS $$
DECLARE
    v_policy pgmq.policy := pgmq._lock_policy(queue_name);
    v_default pgmq.policy := pgmq._policy_of(pgmq._any_queue());
    v_unknown CONSTANT text := (
        SELECT min(coalesce(c.name, 'null'))
        FROM unnest(clear) AS c (name)
        WHERE (to_jsonb(v_default) - 'queue_name' ? c.name) IS NOT TRUE
    );
BEGIN
    IF v_unknown IS NOT NULL THEN
        RAISE EXCEPTION 'a policy has no option "%"', v_unknown
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'clear takes names of options, such as ARRAY[''message_ttl''].';
    END IF;
    v_policy := jsonb_populate_record(
        v_policy,
        (
            SELECT coalesce(jsonb_object_agg(d.key, d.value), '{}')
            FROM jsonb_each(to_jsonb(v_default)) AS d
            WHERE d.key = ANY (clear)
        ) || jsonb_strip_nulls(jsonb_build_object(
            'max_receives', max_receives,
            'dead_letter_queue', dead_letter_queue,
            'retry_delay', retry_delay,
            'retry_delay_max', retry_delay_max,
            'retry_jitter', retry_jitter,
            'message_ttl', message_ttl,
            'archive_retention', archive_retention,
            'dedup_window', dedup_window,
            'max_in_flight', max_in_flight,
            'ack_archives', ack_archives,
            'rate_limit', rate_limit,
            'rate_interval', rate_interval,
            'rate_burst', rate_burst,
            'max_in_flight_per_group', max_in_flight_per_group,
            'dedup_scope', dedup_scope,
            'priorities', priorities,
            'priority_ageing', priority_ageing
        ))
    );
    PERFORM pgmq._replace_policy(v_policy);
END
$$;
COMMENT ON FUNCTION pgmq.alter_policy(text, integer, text, interval, interval, double precision, interval, interval, interval, integer, boolean, integer, interval, integer, integer, text, boolean, interval, text[]) IS
'Change options of a queue''s policy; those that are left out, or null, stay as they are.

clear names options to turn off, such as ARRAY[''message_ttl'']; an option that is also given gets
the value. See set_policy for what the options mean. Only the owner of the queue may call this;
anybody else gets an error.';
