CREATE OR REPLACE FUNCTION pgmq._patience()
RETURNS interval
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(nullif(current_setting('pgmq.doctor_patience', true), '')::interval, '5 min')
$$;
COMMENT ON FUNCTION pgmq._patience() IS
'How long a transaction may be open before doctor() names it: pgmq.doctor_patience.';

CREATE OR REPLACE FUNCTION pgmq._doctor_horizon()
RETURNS TABLE (severity text, queue_name text, finding text, fix text)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH patience AS (
        SELECT pgmq._patience() AS length
    ),
    holders (holder, since, horizon, fix) AS (
        -- A transaction in another database keeps nothing here, but a standby's feedback does.
        SELECT
            CASE
                WHEN r.pid IS NOT NULL
                    THEN format(
                        'standby "%s" (feedback of process %s)', a.application_name, a.pid
                    )
                ELSE format(
                    'process %s (user "%s", application "%s", %s)',
                    a.pid, a.usename, a.application_name, coalesce(a.state, a.backend_type)
                )
            END,
            CASE WHEN r.pid IS NULL THEN a.xact_start END,
            least_xid.age,
            CASE
                WHEN r.pid IS NOT NULL
                    THEN 'End the long query on the standby, or set hot_standby_feedback = off there.'
                ELSE format('SELECT pg_terminate_backend(%s)', a.pid)
            END
        FROM pg_stat_activity AS a
        LEFT JOIN pg_stat_replication AS r ON a.pid = r.pid
        CROSS JOIN LATERAL (
            SELECT greatest(age(a.backend_xmin), age(a.backend_xid)) AS age
        ) AS least_xid
        WHERE a.pid <> pg_backend_pid()
            AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
            AND (a.datname = current_database() OR r.pid IS NOT NULL)
        UNION ALL
        SELECT
            format('prepared transaction "%s" of "%s"', p.gid, p.owner), p.prepared,
            age(p.transaction),
            format('ROLLBACK PREPARED %L, or COMMIT PREPARED', p.gid)
        FROM pg_prepared_xacts AS p
        WHERE p.database = current_database()
        UNION ALL
        SELECT
            format(
                'replication slot "%s" (%s)',
                s.slot_name, CASE WHEN s.active THEN 'active' ELSE 'not in use' END
            ),
            null, age(s.xmin),
            CASE
                WHEN s.active
                    THEN 'End the long query on the standby, or set hot_standby_feedback = off there.'
                ELSE format(
                    'Start what uses the slot, or SELECT pg_drop_replication_slot(%L)', s.slot_name
                )
            END
        FROM pg_replication_slots AS s
        WHERE s.xmin IS NOT NULL
    )
    SELECT
        CASE WHEN h.since < now() - interval '1 hour' THEN 'critical' ELSE 'warning' END,
        null::text,
        format(
            'no vacuum removes what was consumed since %s: held by %s',
            coalesce(
                to_char(h.since, 'YYYY-MM-DD HH24:MI:SS TZ'), format('%s transactions ago', h.horizon)
            ),
            h.holder
        ),
        h.fix
    FROM holders AS h
    CROSS JOIN patience AS p
    -- If the time is not known, or not shown to the caller, count the transactions since then.
    WHERE coalesce(h.since <= now() - p.length, h.horizon > 100000 OR p.length <= '0')
    ORDER BY h.horizon DESC
$$;
COMMENT ON FUNCTION pgmq._doctor_horizon() IS
'Transactions, slots and standbys that keep vacuum from removing consumed messages.

They are named if they do so for longer than pgmq.doctor_patience (5 min unless set; 0 names all)
or, if no time is known, for 100,000 transactions. Prepared transactions are included.';
