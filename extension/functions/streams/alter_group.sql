CREATE OR REPLACE FUNCTION pgmq.alter_group(
    stream_name text,
    group_name text,
    max_deliveries integer DEFAULT null,
    dead_letter_queue text DEFAULT null,
    keep_unread boolean DEFAULT null,
    clear text[] DEFAULT '{}'
)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_stream CONSTANT text := pgmq._stream_name(stream_name);
    v_group pgmq.stream_group := pgmq._existing_group(v_stream, group_name);
    v_unknown CONSTANT text := (
        SELECT min(c.name) FROM unnest(clear) AS c (name)
        WHERE (c.name IN ('max_deliveries', 'dead_letter_queue')) IS NOT true
    );
BEGIN
    IF v_unknown IS NOT NULL THEN
        RAISE EXCEPTION 'a group has no option "%" that can be cleared', v_unknown
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'These are max_deliveries and dead_letter_queue.';
    END IF;
    IF 'max_deliveries' = ANY (clear) THEN
        v_group.max_deliveries := null;
    END IF;
    IF 'dead_letter_queue' = ANY (clear) THEN
        v_group.dead_letter_queue := null;
    END IF;
    v_group.max_deliveries := coalesce(alter_group.max_deliveries, v_group.max_deliveries);
    v_group.keep_unread := coalesce(alter_group.keep_unread, v_group.keep_unread);
    IF dead_letter_queue IS NOT NULL THEN
        PERFORM pgmq._refuse_stream(dead_letter_queue);
        v_group.dead_letter_queue := pgmq._ensure_dead_letter_queue(v_stream, dead_letter_queue);
    END IF;
    PERFORM pgmq._check_group(v_group);
    UPDATE pgmq.stream_group AS g
    SET max_deliveries = v_group.max_deliveries, dead_letter_queue = v_group.dead_letter_queue,
        keep_unread = v_group.keep_unread
    WHERE g.queue_name = v_stream AND g.group_name = alter_group.group_name;
END
$$;
COMMENT ON FUNCTION pgmq.alter_group(text, text, integer, text, boolean, text[]) IS
'Change options of a group; those that are left out, or null, stay as they are.

clear names options to take away: max_deliveries, dead_letter_queue. See create_group for what they
mean. A change counts at once, also for batches that are leased.

Only the owner of the stream may call this. Raises an error for an unknown group or option.';
