"""What hosts do to the extension, and what they run it in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from support import queries, queues
from support.server import BUILD, ROOT, control
from upgrade import older

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Connect, Roles
    from support.server import TestServer

AS_DOCUMENTED = ("-v", "ON_ERROR_STOP=1", "-1", "-f", BUILD / "pgmq.sql")

# Supabase gives every member of an extension to a role of its own, in this order and by these
# commands; an array type follows its element, and a row type its table.
GIVE = """
DO $$
DECLARE
    v_extension oid := (SELECT oid FROM pg_extension WHERE extname = 'pgmq');
    v_member record;
BEGIN
    SET LOCAL search_path = '';
    UPDATE pg_extension SET extowner = 'ROLE'::regrole WHERE oid = v_extension;
    FOR v_member IN
        SELECT
            replace(d.classid::regclass::text, 'pg_catalog.', '') AS catalog, d.objid,
            (
                SELECT c.relname FROM pg_class AS c
                WHERE c.reltype = d.objid AND c.relkind IN ('r', 'p')
            ) AS row_of
        FROM pg_depend AS d
        WHERE d.refobjid = v_extension
    LOOP
        IF v_member.catalog = 'pg_class' THEN
            EXECUTE format('ALTER TABLE %s OWNER TO ROLE', v_member.objid::regclass);
        ELSIF v_member.catalog = 'pg_proc' THEN
            EXECUTE format(
                'ALTER FUNCTION %s(%s) OWNER TO ROLE', v_member.objid::regproc,
                pg_get_function_identity_arguments(v_member.objid)
            );
        ELSIF v_member.catalog = 'pg_type' AND v_member.row_of IS NOT NULL THEN
            EXECUTE format('ALTER TABLE pgmq.%I OWNER TO ROLE', v_member.row_of);
        ELSIF v_member.catalog = 'pg_type' AND v_member.objid::regtype::text NOT LIKE '%[]' THEN
            EXECUTE format('ALTER TYPE %s OWNER TO ROLE', v_member.objid::regtype);
        ELSIF v_member.catalog <> 'pg_type' THEN
            RAISE EXCEPTION 'a member in %', v_member.catalog;
        END IF;
    END LOOP;
END
$$
"""

# Supabase replaces drop_queue, since it takes queues for members of the extension that its backups
# have to let go of. What its own does is this, in words of ours.
REPLACE = """
ALTER EXTENSION pgmq DROP FUNCTION pgmq.drop_queue(text);
DROP FUNCTION pgmq.drop_queue(text);
CREATE FUNCTION pgmq.drop_queue(queue_name text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_queue text := pgmq.format_table_name(queue_name, 'q');
    v_archive text := pgmq.format_table_name(queue_name, 'a');
BEGIN
    IF pgmq._belongs_to_pgmq(v_queue) THEN
        EXECUTE format('ALTER EXTENSION pgmq DROP TABLE pgmq.%I', v_queue);
    END IF;
    EXECUTE format('DROP TABLE IF EXISTS pgmq.%I', v_queue);
    EXECUTE format('DROP TABLE IF EXISTS pgmq.%I', v_archive);
    IF pgmq._get_pg_partman_schema() IS NOT NULL THEN
        EXECUTE format(
            'DELETE FROM %I.part_config WHERE parent_table IN ($1, $2)',
            pgmq._get_pg_partman_schema()
        ) USING format('pgmq.%s', v_queue), format('pgmq.%s', v_archive);
    END IF;
    DELETE FROM pgmq.meta AS m WHERE m.queue_name = drop_queue.queue_name;
    RETURN true;
END
$$;
ALTER EXTENSION pgmq ADD FUNCTION pgmq.drop_queue(text);
"""
OBJECTS = """
    SELECT 'relation', relname::text FROM pg_class WHERE relnamespace = 'pgmq'::regnamespace
    UNION ALL
    -- Not what is put aside for the next queue.
    SELECT 'function', proname::text FROM pg_proc
    WHERE pronamespace = 'pgmq'::regnamespace AND proname NOT LIKE 'spare %'
    UNION ALL
    SELECT 'type', typname::text FROM pg_type WHERE typnamespace = 'pgmq'::regnamespace
    UNION ALL
    SELECT 'row', queue_name FROM pgmq.meta
    UNION ALL
    SELECT 'row of policy', queue_name FROM pgmq.policy
    UNION ALL
    SELECT 'row of partitioning', queue_name FROM pgmq.partitioning
    UNION ALL
    SELECT 'row of binding', queue_name FROM pgmq.binding WHERE queue_name IS NOT NULL
"""


@pytest.fixture
def owner(db: psycopg.Connection, roles: Roles) -> str:
    """Give the extension to an ordinary role, and return its name."""
    if db.execute("SELECT FROM pg_extension WHERE extname = 'pgmq'").fetchone() is None:
        pytest.skip("pgmq is not an extension here")
    name = roles()
    db.execute("SET allow_system_table_mods = on")
    db.execute(GIVE.replace("ROLE", name).encode())
    db.execute(f"GRANT USAGE, CREATE ON SCHEMA pgmq TO {name}")
    db.execute("RESET allow_system_table_mods")
    return name


def test_every_member_can_be_given_to_another_role(db: psycopg.Connection, owner: str) -> None:
    others = db.execute(
        """
        SELECT o.type, o.identity
        FROM pg_depend AS d
        CROSS JOIN pg_identify_object(d.classid, d.objid, 0) AS o
        LEFT JOIN pg_class AS c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
        LEFT JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
        LEFT JOIN pg_type AS t ON d.classid = 'pg_type'::regclass AND t.oid = d.objid
        WHERE d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pgmq')
            AND coalesce(c.relowner, p.proowner, t.typowner) IS DISTINCT FROM %s::regrole
        """,
        [owner],
    ).fetchall()
    assert others == []


def test_every_kind_of_queue_works_for_the_new_owner_also_after_an_upgrade(
    server: TestServer, db: psycopg.Connection, owner: str
) -> None:
    """By an extension's script, and by the plain file."""
    if server.embedded is None:
        pytest.skip("needs the embedded server, to put a script into it")
    db.execute(f"SET SESSION AUTHORIZATION {owner}")
    queues.fill(db)
    plain = (BUILD / "pgmq.sql").read_text()
    version = control()["default_version"]
    script = server.embedded.extension_dir / f"pgmq--{version}--{owner}.sql"
    script.write_text(plain)
    try:
        db.execute(f"ALTER EXTENSION pgmq UPDATE TO '{owner}'")
    finally:
        script.unlink()
    db.execute(plain.encode())
    queues.works(db)
    queues.let_go(db)
    db.execute("SELECT pgmq.drop_queue(queue_name) FROM pgmq.list_queues()")


@pytest.mark.once
@pytest.mark.parametrize("by", ["a host's drop_queue", "hand"])
def test_a_queue_that_is_dropped_by_others_leaves_nothing_behind(
    db: psycopg.Connection, by: str
) -> None:
    """Then a queue of that name is a new one."""
    db.execute(REPLACE.encode() if by != "hand" else b"")
    before = sorted(db.execute(OBJECTS).fetchall())
    queues.fill(db)
    db.execute(f"SELECT pgmq.create('{47 * 'x'}')".encode())
    queues.let_go(db)
    names = queries.ids(db, "SELECT queue_name FROM pgmq.list_queues()")
    for name in names:
        if by == "hand":
            prefixes = ["q"] if name in queues.STREAMS else ["q", "a"]
            tables = [sql.Identifier("pgmq", f"{prefix}_{name.lower()}") for prefix in prefixes]
            db.execute(sql.SQL("DROP TABLE {}").format(sql.SQL(", ").join(tables)))
            db.execute("DELETE FROM pgmq.meta WHERE queue_name = %s", [name])
        else:
            assert queries.one(db, "SELECT pgmq.drop_queue(%s)", name)
    db.execute("SELECT pgmq.drop_exchange('e')")
    assert sorted(db.execute(OBJECTS).fetchall()) == before
    queues.fill(db)
    queues.works(db)


def test_a_consumer_that_enables_what_is_enabled_waits_for_nobody(
    db: psycopg.Connection, connect: Connect, roles: Roles
) -> None:
    """Clients call it when they start; who may not change the queue may do that."""
    db.execute("SELECT pgmq.create('q'), pgmq.enable_notify_insert('q', 100)")
    role = roles()
    db.execute("SELECT pgmq.grant_consume('q', %s)", [role])
    db.execute("GRANT SELECT ON pgmq.meta TO public")
    producer = connect(autocommit=False)
    producer.execute("SELECT pgmq.send('q', '1')")
    consumer = connect()
    consumer.execute(f"SET lock_timeout = '1s'; SET ROLE {role}")
    consumer.execute("SELECT pgmq.enable_notify_insert('q', 100)")
    db.execute("SET lock_timeout = '1s'; SELECT pgmq.enable_notify_insert('Q', 100)")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        db.execute("SELECT pgmq.enable_notify_insert('q', 200)")
    producer.rollback()
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        consumer.execute("SELECT pgmq.enable_notify_insert('q', 200)")


def test_a_trigger_that_is_switched_off_or_not_ours_is_made_again(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('q'), pgmq.enable_notify_insert('q', 0)")
    db.execute('LISTEN "pgmq.q_q.INSERT"')
    for harm in (
        "ALTER TABLE pgmq.q_q DISABLE TRIGGER trigger_notify_queue_insert_listeners",
        "DROP TRIGGER trigger_notify_queue_insert_listeners ON pgmq.q_q",
        "DROP SEQUENCE pgmq.notify_at_q",
    ):
        db.execute(harm.encode())
        db.execute("SELECT pgmq.enable_notify_insert('q', 0); SELECT pgmq.send('q', '1')")
        assert len(list(db.notifies(timeout=1, stop_after=1))) == 1


def test_a_trigger_as_pgmq_1_makes_it_announces_too(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('q')")
    db.execute(
        "CREATE CONSTRAINT TRIGGER by_hand AFTER INSERT ON pgmq.q_q DEFERRABLE"
        " FOR EACH ROW EXECUTE FUNCTION pgmq.notify_queue_listeners()"
    )
    db.execute("LISTEN \"pgmq.q_q.INSERT\"; SELECT pgmq.send('q', '1')")
    assert len(list(db.notifies(timeout=1, stop_after=1))) == 1


@pytest.fixture
def empty(server: TestServer, roles: Roles) -> Iterator[psycopg.Connection]:
    """A database without pgmq, which goes before the roles do."""
    with (
        server.database() as dbname,
        psycopg.connect(server.dsn(dbname), autocommit=True) as session,
    ):
        yield session


def _install(server: TestServer, session: psycopg.Connection, role: str) -> str:
    done = server.run_psql(session.info.dbname, *AS_DOCUMENTED, PGOPTIONS=f"-c role={role}")
    return done.stdout.partition("pgmq.sql:")[2].partition(": ")[2]


@pytest.mark.parametrize("schema", ["its own", "of another role"])
def test_a_role_that_owns_nothing_else_installs_it(
    server: TestServer, empty: psycopg.Connection, roles: Roles, schema: str
) -> None:
    """It is neither a superuser nor the owner of the database."""
    role, host, consumer = roles(), roles(), roles()
    if schema == "its own":
        empty.execute(f"GRANT CREATE ON DATABASE {empty.info.dbname} TO {role}".encode())
    else:
        empty.execute(f"CREATE SCHEMA pgmq AUTHORIZATION {host}".encode())
        empty.execute(f"GRANT ALL ON SCHEMA pgmq TO {role} WITH GRANT OPTION".encode())
    version = control()["default_version"]
    assert _install(server, empty, role) == f"INFO:  pgmq {version}: installed\n"
    assert _install(server, empty, role) == f"INFO:  pgmq {version}: unchanged\n"
    empty.execute(f"SET SESSION AUTHORIZATION {role}".encode())
    empty.execute("SELECT pgmq.create('q'), pgmq.grant_consume('q', %s)", [consumer])
    empty.execute("SELECT pgmq.send('q', '1')")
    empty.execute(f"SET SESSION AUTHORIZATION {consumer}".encode())
    assert queries.one(empty, "SELECT message FROM pgmq.read('q', 30, 1)") == 1


def test_new_queues_are_for_roles_that_were_granted_the_functions_before(
    server: TestServer, empty: psycopg.Connection, roles: Roles
) -> None:
    """Hardened databases take EXECUTE from public; with pgmq 1.13, one grant was enough."""
    owner, consumer = roles(), roles()
    empty.execute(f"GRANT CREATE ON DATABASE {empty.info.dbname} TO {owner}".encode())
    hardened = f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} REVOKE EXECUTE ON FUNCTIONS FROM public"
    empty.execute(hardened.encode())
    assert "installed" in _install(server, empty, owner)
    empty.execute(f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pgmq TO {consumer}".encode())
    empty.execute(f"SET SESSION AUTHORIZATION {owner}".encode())
    empty.execute("SELECT pgmq.create('q'), pgmq.create_partitioned('p', '1 day', null)")
    for queue in "qp":
        empty.execute("SELECT pgmq.grant_send(%s, %s)", [queue, consumer])
        empty.execute("SELECT pgmq.grant_consume(%s, %s)", [queue, consumer])
    empty.execute(f"SET SESSION AUTHORIZATION {consumer}".encode())
    for queue in "qp":
        empty.execute("SELECT pgmq.send(%s, '1')", [queue])
        assert queries.one(empty, f"SELECT message FROM pgmq.pop('{queue}')") == 1
    # Not the function by which a scheduler has the owner's rights.
    empty.execute("RESET SESSION AUTHORIZATION")
    open_to_all = "SELECT has_function_privilege('public', 'pgmq._scheduled_q()', 'EXECUTE')"
    empty.execute(f"SET SESSION AUTHORIZATION {owner}".encode())
    empty.execute("SELECT pgmq.grant_maintain('q', %s), pgmq.recompile('q')", [consumer])
    assert queries.one(empty, open_to_all) is False


def test_a_role_that_cannot_install_it_is_told_what_would_help(
    server: TestServer, empty: psycopg.Connection, roles: Roles
) -> None:
    role, owner = roles(), roles()
    dbname = empty.info.dbname
    said = _install(server, empty, role)
    assert f"ERROR:  role {role} may not create the schema pgmq in database {dbname}\n" in said
    assert "DETAIL:  Nothing has changed." in said
    assert f"can run GRANT CREATE ON DATABASE {dbname} TO {role}." in said

    empty.execute(f"CREATE SCHEMA pgmq AUTHORIZATION {owner}".encode())
    said = _install(server, empty, role)
    assert "may not create anything in the schema pgmq, which belongs to" in said
    assert f"Run this as {owner}, who can also GRANT ALL ON SCHEMA pgmq TO {role}" in said

    empty.execute(f"GRANT ALL ON SCHEMA pgmq TO {role}".encode())
    assert "installed" in _install(server, empty, owner)
    said = _install(server, empty, role)
    assert f"ERROR:  the pgmq in this database belongs to role {owner}, and not to {role}" in said
    assert (
        f"HINT:  Run this as that role: after SET ROLE {owner}, or logged in as it. (What" in said
    )


@pytest.mark.parametrize("version", [older.VERSIONS[0], older.VERSIONS[-1], *older.OF_2])
def test_only_its_owner_upgrades_it(
    version: str, server: TestServer, empty: psycopg.Connection, roles: Roles, upstream_sql: str
) -> None:
    """Else the owner's tables would serve functions of somebody with other rights."""
    owner, member = roles(), roles()
    empty.execute(f"GRANT CREATE ON DATABASE {empty.info.dbname} TO {owner}".encode())
    empty.execute(f"GRANT {owner} TO {member}; SET ROLE {owner}".encode())
    upgrade = older.install(server, empty, upstream_sql, version)
    empty.execute("SELECT pgmq.create('q'), pgmq.enable_notify_insert('q')")
    for other in "postgres", member:
        empty.execute(f"SET ROLE {other}".encode())
        for command in upgrade.encode(), (BUILD / "pgmq.sql").read_bytes():
            with pytest.raises(
                psycopg.errors.InsufficientPrivilege, match=f"belongs to role {owner}, and not"
            ) as error:
                empty.execute(command)
            assert f"after SET ROLE {owner}, or" in str(error.value.diag.message_hint)
    empty.execute(f"SET ROLE {owner}".encode())
    empty.execute(upgrade.encode())
    owners = """
        SELECT DISTINCT p.proowner::regrole::text FROM pg_proc AS p
        WHERE p.pronamespace = 'pgmq'::regnamespace
        UNION SELECT c.relowner::regrole::text FROM pg_class AS c
        WHERE c.relnamespace = 'pgmq'::regnamespace
    """
    assert queries.ids(empty, owners) == [owner]
    empty.execute("SELECT pgmq.pause('q'), pgmq.create_stream('s'), pgmq.open_channel('q')")


def test_an_extension_of_one_role_with_members_of_another_is_left_first(
    server: TestServer, empty: psycopg.Connection, roles: Roles, upstream_sql: str
) -> None:
    owner = roles()
    older.install(server, empty, upstream_sql, "1.13.0")
    empty.execute("SELECT pgmq.create('q'), pgmq.send('q', '1')")
    empty.execute("SET allow_system_table_mods = on")
    empty.execute(GIVE.replace("ROLE", owner).encode())
    empty.execute(f"GRANT ALL ON SCHEMA pgmq TO {owner}".encode())
    empty.execute(
        f"ALTER TABLE pgmq.q_q OWNER TO {owner}; ALTER TABLE pgmq.a_q OWNER TO {owner}".encode()
    )
    empty.execute("UPDATE pg_extension SET extowner = 'postgres'::regrole WHERE extname = 'pgmq'")
    said = _install(server, empty, owner)
    assert f"extension pgmq belongs to role postgres, but what is in it to {owner}" in said
    assert "HINT:  As postgres or a superuser, run extension/upgrade/leave.sql" in said
    empty.execute((ROOT / "extension" / "upgrade" / "leave.sql").read_bytes())
    assert "upgraded from 1.13\n" in _install(server, empty, owner)
    assert queries.one(empty, "SELECT message FROM pgmq.read('q', 0, 1)") == 1


# Whatever runs this with more rights gives itself away.
BETRAY = "LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'ALTER ROLE {0} SUPERUSER'; RETURN null; END $$"
PLANTED = {
    "function pgmq.version()": f"CREATE FUNCTION pgmq.version() RETURNS text {BETRAY}",
    "function pgmq._lay_out(character varying)": (
        f"CREATE FUNCTION pgmq._lay_out(varchar) RETURNS text {BETRAY}"
    ),
    "function pgmq._visible_from(timestamp with time zone)": (
        f"CREATE FUNCTION pgmq._visible_from(visible_at timestamptz) RETURNS timestamptz {BETRAY}"
    ),
    "table pgmq.policy": "CREATE TABLE pgmq.policy (queue_name varchar)",
    "view pgmq.notify_insert_throttle_of_1": (
        f"CREATE FUNCTION public.betray() RETURNS text {BETRAY};"
        "CREATE VIEW pgmq.notify_insert_throttle_of_1 AS SELECT public.betray() AS queue_name"
    ),
    "type pgmq.message_record": "CREATE DOMAIN pgmq.message_record AS text",
}


@pytest.mark.parametrize("planted", PLANTED)
def test_nothing_that_others_have_put_into_the_schema_is_used(
    planted: str, server: TestServer, empty: psycopg.Connection, roles: Roles
) -> None:
    other = roles()
    name = empty.info.dbname
    empty.execute(f"GRANT CREATE ON DATABASE {name} TO {other}; SET ROLE {other}".encode())
    empty.execute("CREATE SCHEMA pgmq AUTHORIZATION CURRENT_USER")
    empty.execute(
        f"RESET ROLE; GRANT CREATE ON SCHEMA public TO {other}; SET ROLE {other}".encode()
    )
    empty.execute(PLANTED[planted].format(other).encode())
    empty.execute("CREATE TABLE pgmq.of_nobody_else (); RESET ROLE")
    with pytest.raises(
        psycopg.errors.InsufficientPrivilege,
        match=f"schema pgmq belongs to role {other}, which has fewer rights than postgres",
    ):
        empty.execute((BUILD / "pgmq.sql").read_bytes())
    commands = [(BUILD / "pgmq.sql").read_bytes()]
    if server.embedded is not None:
        commands.append(b"CREATE EXTENSION pgmq")
    empty.execute("ALTER SCHEMA pgmq OWNER TO postgres")
    for command in commands:
        with pytest.raises(
            psycopg.errors.InsufficientPrivilege,
            match=rf"{re.escape(planted)} is in the way, for it belongs to role {other}",
        ):
            empty.execute(command)
    is_super = "SELECT rolsuper FROM pg_roles WHERE rolname = %s"
    assert queries.one(empty, is_super, other) is False
    empty.execute(f"DROP {planted}".encode())
    empty.execute(commands[0])


@pytest.mark.parametrize("version", ["1.13", "2.0.0"])
def test_an_upgrade_without_the_rights_to_a_queue_is_refused_beforehand(
    version: str, server: TestServer, empty: psycopg.Connection, roles: Roles, upstream_sql: str
) -> None:
    owner, other = roles(), roles()
    empty.execute(f"GRANT CREATE ON DATABASE {empty.info.dbname} TO {owner}".encode())
    empty.execute(f"SET ROLE {owner}".encode())
    empty.execute((older.sql_of_2() if version == "2.0.0" else upstream_sql).encode())
    empty.execute(f"GRANT ALL ON SCHEMA pgmq TO {other}".encode())
    empty.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA pgmq TO {other}".encode())
    empty.execute(f"SET SESSION AUTHORIZATION {other}".encode())
    empty.execute("SELECT pgmq.create('theirs')")
    empty.execute("RESET SESSION AUTHORIZATION")
    said = _install(server, empty, owner)
    assert f'ERROR:  queue "theirs" belongs to role {other}, and not to {owner}\n' in said
    assert "DETAIL:  Nothing has changed." in said
    assert f"GRANT {other} TO {owner}." in said
    empty.execute(f"GRANT {other} TO {owner}".encode())
    assert "upgraded" in _install(server, empty, owner)
    # Without a change of version, queues of others are left as they are.
    empty.execute(f"REVOKE {other} FROM {owner}".encode())
    empty.execute("COMMENT ON FUNCTION pgmq.version() IS 'changed'; DROP FUNCTION pgmq.pin(text)")
    said = _install(server, empty, owner)
    assert "WARNING:  recompile_all() leaves out queues of other owners: theirs" in said
    assert "ERROR" not in said
    empty.execute(f"SET SESSION AUTHORIZATION {other}".encode())
    empty.execute("SELECT pgmq.send('theirs', '1')")
    assert queries.one(empty, "SELECT message FROM pgmq.pop('theirs')") == 1


# What Supabase's dashboard makes for clients of its data API, in words of ours: functions that run
# with the caller's rights, call pgmq by names of arguments, and have no search_path.
WRAPPERS = """
    CREATE SCHEMA pgmq_public;
    CREATE FUNCTION pgmq_public.send(
        queue_name text, message jsonb, sleep_seconds integer DEFAULT 0
    ) RETURNS SETOF bigint LANGUAGE plpgsql SET search_path = '' AS $$ BEGIN
        RETURN QUERY SELECT * FROM pgmq.send(
            queue_name := queue_name, msg := message, delay := sleep_seconds
        );
    END $$;
    CREATE FUNCTION pgmq_public.send_batch(
        queue_name text, messages jsonb[], sleep_seconds integer DEFAULT 0
    ) RETURNS SETOF bigint LANGUAGE plpgsql SET search_path = '' AS $$ BEGIN
        RETURN QUERY SELECT * FROM pgmq.send_batch(
            queue_name := queue_name, msgs := messages, delay := sleep_seconds
        );
    END $$;
    CREATE FUNCTION pgmq_public.read(queue_name text, sleep_seconds integer, n integer)
    RETURNS SETOF pgmq.message_record LANGUAGE plpgsql SET search_path = '' AS $$ BEGIN
        RETURN QUERY SELECT * FROM pgmq.read(
            queue_name := queue_name, vt := sleep_seconds, qty := n
        );
    END $$;
    CREATE FUNCTION pgmq_public.pop(queue_name text)
    RETURNS SETOF pgmq.message_record LANGUAGE plpgsql SET search_path = '' AS $$ BEGIN
        RETURN QUERY SELECT * FROM pgmq.pop(queue_name := queue_name);
    END $$;
    CREATE FUNCTION pgmq_public.archive(queue_name text, message_id bigint)
    RETURNS boolean LANGUAGE plpgsql SET search_path = '' AS $$ BEGIN
        RETURN pgmq.archive(queue_name := queue_name, msg_id := message_id);
    END $$;
    CREATE FUNCTION pgmq_public.delete(queue_name text, message_id bigint)
    RETURNS boolean LANGUAGE plpgsql SET search_path = '' AS $$ BEGIN
        RETURN pgmq.delete(queue_name := queue_name, msg_id := message_id);
    END $$;
    GRANT USAGE ON SCHEMA pgmq, pgmq_public TO {0}, {1};
    GRANT ALL ON ALL TABLES IN SCHEMA pgmq TO {0};
    ALTER DEFAULT PRIVILEGES IN SCHEMA pgmq GRANT ALL ON TABLES TO {0};
"""


def test_a_data_api_calls_it_through_functions_of_its_own(
    db: psycopg.Connection, roles: Roles
) -> None:
    """The service may do everything; others, what they are granted and policies let them."""
    service, anon = roles(), roles()
    db.execute("SELECT pgmq.create('before')")
    db.execute(sql.SQL(WRAPPERS).format(sql.Identifier(service), sql.Identifier(anon)))
    db.execute("SELECT pgmq.create('after'), pgmq.grant_send('after', %s)", [anon])
    for queue in "before", "after":
        db.execute(f"ALTER TABLE pgmq.q_{queue} ENABLE ROW LEVEL SECURITY".encode())
    db.execute(f"ALTER ROLE {service} BYPASSRLS".encode())
    # Sending returns the msg_id, so that it reads the row, too.
    db.execute(
        f"CREATE POLICY sends ON pgmq.q_after FOR INSERT TO {anon} WITH CHECK (true)".encode()
    )
    db.execute(f"CREATE POLICY sees ON pgmq.q_after FOR SELECT TO {anon} USING (true)".encode())

    db.execute(f"SET ROLE {service}".encode())
    for queue in "before", "after":
        db.execute(
            "SELECT pgmq_public.send(%s, '1'), pgmq_public.send_batch(%s, '{2, 3}'::jsonb[])",
            [queue, queue],
        )
        read = f"SELECT msg_id FROM pgmq_public.read('{queue}', 30, 2)"
        first, second = queries.ids(db, read)
        assert queries.one(db, "SELECT pgmq_public.archive(%s, %s)", queue, first)
        assert queries.one(db, "SELECT pgmq_public.delete(%s, %s)", queue, second)
        assert queries.one(db, f"SELECT message FROM pgmq_public.pop('{queue}')") == 3

    db.execute(f"SET ROLE {anon}".encode())
    assert queries.one(db, "SELECT pgmq_public.send('after', '4')") == 4
    for call in "send('before', '1')", "read('after', 30, 1)", "delete('after', 3)":
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            db.execute(f"SELECT pgmq_public.{call}".encode())
