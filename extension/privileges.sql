-- Upstream lets pg_monitor read all messages, by default privileges. These also apply to future
-- queues, and to everything that was created above. All of that is revoked here.
DO $$
DECLARE
    v_default record;
    v_relation record;
BEGIN
    FOR v_default IN
        SELECT d.defaclrole, d.defaclobjtype
        FROM pg_catalog.pg_default_acl AS d
        CROSS JOIN pg_catalog.aclexplode(d.defaclacl) AS a
        WHERE d.defaclnamespace = 'pgmq'::regnamespace AND d.defaclobjtype IN ('r', 'S')
            AND a.grantee = 'pg_monitor'::regrole
            AND pg_catalog.pg_has_role(d.defaclrole, 'MEMBER')
    LOOP
        EXECUTE pg_catalog.format(
            'ALTER DEFAULT PRIVILEGES FOR ROLE %s IN SCHEMA pgmq'
            ' REVOKE SELECT ON %s FROM pg_monitor',
            v_default.defaclrole::regrole,
            CASE v_default.defaclobjtype WHEN 'r' THEN 'TABLES' ELSE 'SEQUENCES' END
        );
        FOR v_relation IN
            SELECT
                c.oid::regclass AS name,
                CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind
            FROM pg_catalog.pg_class AS c
            WHERE c.relnamespace = 'pgmq'::regnamespace
                AND c.relkind = ANY (
                    CASE v_default.defaclobjtype WHEN 'r' THEN '{r,p}' ELSE '{S}' END::"char"[]
                )
                AND pg_catalog.pg_has_role(c.relowner, 'USAGE')
        LOOP
            EXECUTE pg_catalog.format(
                'REVOKE SELECT ON %s %s FROM pg_monitor', v_relation.kind, v_relation.name
            );
        END LOOP;
    END LOOP;
END
$$;

-- Functions run with the caller's rights, so a role that may call them has no right to a queue yet.
-- (In the schema of another role only that one may grant it.)
DO $$
BEGIN
    IF has_schema_privilege('pgmq', 'USAGE WITH GRANT OPTION') THEN
        GRANT USAGE ON SCHEMA pgmq TO pg_monitor;
    END IF;
END
$$;
-- None of this is secret: anybody who can log in sees the names of tables. Publishers need the
-- routing; consumers and monitoring need the names of queues. (What calls look up for anybody, they
-- find without these grants, too: see _known.sql. Monitoring has them for itself.)
GRANT SELECT ON
pgmq.meta, pgmq.policy, pgmq.pinned, pgmq.paused, pgmq.partitioning, pgmq.topic_bindings,
pgmq.exchange, pgmq.binding, pgmq.template, pgmq.notify_insert_throttle, pgmq.stream_group,
pgmq.stream_segment
TO public, pg_monitor;
-- Messages are the owners' alone. (xmax is that of a transaction that is sending one.)
GRANT SELECT (
    schedule_name, queue_name, cron, fields, every, anchor, timezone, catch_up, tick_at, next_at,
    last_at, last_msg_id, errors, last_error, paused_at, xmax
) ON pgmq.schedule TO public, pg_monitor;
-- Owners of queues write there, and nothing stays: see _defer_upkeep.
GRANT SELECT, INSERT ON pgmq.tending TO public;
-- The name of the channel is left out: anyone who knows it can listen to messages.
GRANT SELECT (number, queue_name, maximum_messages, vt, pid, opened_at, silent_since)
ON pgmq.channel TO pg_monitor;
