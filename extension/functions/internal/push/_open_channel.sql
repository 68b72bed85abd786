CREATE OR REPLACE FUNCTION pgmq._check_channel(maximum_messages integer, vt integer)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    IF maximum_messages IS NULL OR maximum_messages NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'maximum_messages must be between 1 and 1000: %',
            coalesce(maximum_messages::text, 'null')
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'It is how many messages may be out unacknowledged at a time.';
    END IF;
    IF vt IS NULL OR vt < 1 THEN
        RAISE EXCEPTION 'vt must be at least 1: %', coalesce(vt::text, 'null')
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'It is how many seconds there are to acknowledge a message.';
    END IF;
END
$$;
COMMENT ON FUNCTION pgmq._check_channel(integer, integer) IS
'Raise an error for invalid arguments of open_channel.';

CREATE OR REPLACE FUNCTION pgmq._open_channel(
    queue_name text,
    maximum_messages integer,
    vt integer
)
RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_role CONSTANT oid := (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = pgmq._caller());
    v_queue text;
    v_number integer;
    v_channel text;
BEGIN
    -- Anybody may call this.
    PERFORM pgmq._check_channel(maximum_messages, vt);
    IF pgmq._may_lease(v_role, queue_name) IS NOT true THEN
        RAISE EXCEPTION 'permission denied for queue "%"', queue_name
            USING ERRCODE = 'insufficient_privilege',
                HINT = format(
                    '%s needs SELECT and UPDATE on pgmq.%I.',
                    pgmq._caller(), pgmq.format_table_name(queue_name, 'q')
                );
    END IF;
    IF pgmq._is_filtered(v_role, queue_name) THEN
        RAISE EXCEPTION 'queue "%" cannot be pushed to %: it has row-level security',
            queue_name, pgmq._caller()
            USING ERRCODE = 'insufficient_privilege',
                HINT = 'Messages are pushed past the policies. Use read, which goes by them.';
    END IF;
    v_queue := pgmq._lock_queue(queue_name);
    IF NOT pgmq._is_safe_to_push(queue_name) THEN
        RAISE EXCEPTION 'queue "%" cannot be pushed: its owner has not the rights of %',
            v_queue, current_user
            USING ERRCODE = 'insufficient_privilege',
                HINT = 'Messages are pushed with the rights of the extension''s owner, and triggers of the queue would have them.';
    END IF;
    PERFORM pgmq._release_closed();
    v_number := nextval('pgmq.channel_number_seq');
    -- NOTIFY has no privileges: anyone who knows the name can listen.
    v_channel := format('pgmq.c_%s_%s', v_number, replace(gen_random_uuid()::text, '-', ''));
    PERFORM pg_advisory_lock(pgmq._channel_locks(), v_number);
    SET CONSTRAINTS pgmq.push_backlog DEFERRED;     -- whatever the caller has set
    INSERT INTO pgmq.channel (
        channel, number, queue_name, maximum_messages, vt, pid, opened_by
    )
    VALUES (
        v_channel,
        v_number,
        v_queue,
        _open_channel.maximum_messages,
        _open_channel.vt,
        pg_backend_pid(),
        v_role
    );
    -- The slot that is free for longest is filled first, so new channels take turns.
    INSERT INTO pgmq.channel_slot (channel, number, queue_name, free_at)
    SELECT v_channel, n, v_queue, pgmq._long_ago(to_timestamp(n))
    FROM generate_series(1, _open_channel.maximum_messages) AS n;
    RETURN v_channel;       -- the commit pushes: see _push_backlog
END
$$;
COMMENT ON FUNCTION pgmq._open_channel(text, integer, integer) IS
'Open a channel: the part of open_channel that needs the rights of the extension''s owner.';
