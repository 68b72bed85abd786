"""The one text over what was there before: upstream 1.13 (extension, plain SQL), and itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import psycopg
import pytest

from support.cases import case
from support.queries import ids
from support.server import BUILD, control
from upgrade import older
from upgrade.test_in_use import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.server import TestServer

QUEUES = ["plain", "Mixed Case", "fleeting"]
FILL = """
    SELECT pgmq.create('plain'), pgmq.create('Mixed Case'), pgmq.create_unlogged('fleeting');
    SELECT pgmq.send_batch(queue_name, ARRAY['{"n": 1}', '2', '{"n": 3}', '4']::jsonb[])
    FROM pgmq.list_queues();
    SELECT pgmq.send(queue_name, '{"n": 5}', '{"k": "v"}'::jsonb, 3600) FROM pgmq.list_queues();
    SELECT pgmq.archive(queue_name, 1::bigint) FROM pgmq.list_queues();
    SELECT pgmq.read(queue_name, 3600, 1) FROM pgmq.list_queues();
    SELECT pgmq.read(queue_name, 0, 1) FROM pgmq.list_queues();
    SELECT pgmq.enable_notify_insert('plain'), pgmq.enable_notify_insert('Mixed Case', 0);
    SELECT pgmq.enable_notify_insert('fleeting', 60000);
    DELETE FROM pgmq.notify_insert_throttle WHERE queue_name = 'fleeting';  -- as a crash does
    SELECT pgmq.bind_topic('a.#', 'plain'), pgmq.bind_topic('*.b', 'Mixed Case');
    SELECT pgmq.create('fifo'), pgmq.create_fifo_index('fifo');
    SELECT pgmq.send_batch('fifo', '{1,2,3,4}', ARRAY[a, b, a, b])
    FROM (VALUES ('{"x-pgmq-group": "a"}'::jsonb, '{"x-pgmq-group": "b"}'::jsonb)) AS g (a, b);
    SELECT pgmq.read_grouped('fifo', 3600, 1);
    GRANT USAGE ON SCHEMA pgmq TO {role};
    GRANT SELECT, INSERT, UPDATE, DELETE ON pgmq.q_plain TO {role};
    ALTER TABLE pgmq.q_fifo OWNER TO {role};
    ALTER TABLE pgmq.a_fifo OWNER TO {role};
"""


@pytest.fixture
def old(before: tuple[psycopg.Connection, str], role: str) -> tuple[psycopg.Connection, str]:
    """A database with upstream and queues in use, and what brings it to today's."""
    session, _ = before
    session.execute(FILL.replace("{role}", role).encode())
    return before


class Upgraded(NamedTuple):
    """A template of databases that were upgraded, and what was there before."""

    template: str
    role: str
    contents: dict[str, list[tuple[object, ...]]]


@pytest.fixture(scope="module", params=["1.13.0", "plain SQL"])
def upgraded(
    request: pytest.FixtureRequest, server: TestServer, upstream_sql: str
) -> Iterator[Upgraded]:
    role = server.make_role("LOGIN")
    with server.database() as dbname:
        with psycopg.connect(server.dsn(dbname), autocommit=True) as session:
            upgrade = older.install(server, session, upstream_sql, request.param)
            session.execute(FILL.replace("{role}", role).encode())
            contents = _contents(session)
            session.execute(upgrade.encode())
        yield Upgraded(dbname, role, contents)
    server.drop_roles(role)


@pytest.fixture
def new(server: TestServer, upgraded: Upgraded) -> Iterator[psycopg.Connection]:
    """A database that was upgraded with upstream's queues in use."""
    with (
        server.database(upgraded.template) as dbname,
        psycopg.connect(server.dsn(dbname), autocommit=True) as session,
    ):
        yield session


def _contents(session: psycopg.Connection) -> dict[str, list[tuple[object, ...]]]:
    tables = {"meta": "SELECT * FROM pgmq.meta ORDER BY queue_name"}
    for queue in QUEUES:
        for prefix in "qa":
            name = f"{prefix}_{queue.lower()}"
            tables[name] = f'SELECT * FROM pgmq."{name}" ORDER BY msg_id'
    tables["topics"] = "SELECT * FROM pgmq.topic_bindings ORDER BY pattern"
    return {name: session.execute(query.encode()).fetchall() for name, query in tables.items()}


def test_nothing_is_lost_and_the_new_engine_is_in_use(
    upgraded: Upgraded, new: psycopg.Connection
) -> None:
    session = new
    assert _contents(session) == upgraded.contents

    assert session.execute("SELECT pgmq.version()").fetchone() == (control()["default_version"],)
    for queue in QUEUES:
        # 1 was archived, 2 is leased, 3 came back, 4 was never read, 5 is delayed.
        assert ids(session, f"SELECT msg_id FROM pgmq.peek('{queue}', 9)") == [3, 4]
        assert ids(session, f"SELECT pgmq.send('{queue}', '6')") == [6]
        assert ids(session, f"SELECT msg_id FROM pgmq.read('{queue}', 60, 9)") == [3, 4, 6]
        assert session.execute(f"SELECT pgmq.ack('{queue}', 2, 1)").fetchone() == (True,)
    session.execute(f"SET ROLE {upgraded.role}")
    session.execute("SELECT pgmq.set_vt('plain', 6, 0)")
    assert ids(session, "SELECT msg_id FROM pgmq.read('plain', 60, 1)") == [6]
    session.execute("RESET ROLE")
    assert session.execute("SELECT pgmq.send_topic('a.b', '7')").fetchone() == (2,)


def _announces(session: psycopg.Connection) -> None:
    """Upstream's settings are in force, and nothing of upstream's is left."""
    settings = "SELECT queue_name, throttle_interval_ms FROM pgmq.list_notify_insert_throttles()"
    assert session.execute(settings).fetchall() == [("Mixed Case", 0), ("plain", 250)]
    session.execute('LISTEN "pgmq.q_plain.INSERT"; LISTEN "pgmq.q_mixed case.INSERT"')
    # The throttle's clock begins anew, so that the first of each is announced.
    session.execute("SELECT pgmq.send(queue_name, '1') FROM pgmq.list_queues()")
    session.execute("SELECT pgmq.send('plain', '1'), pgmq.send('Mixed Case', '1')")
    heard = sorted(note.channel for note in session.notifies(timeout=0.2))
    assert heard == 2 * ["pgmq.q_mixed case.INSERT"] + ["pgmq.q_plain.INSERT"]
    assert session.execute(
        "SELECT relname, relkind FROM pg_class"
        " WHERE relname ~ '^notify_insert_throttle' AND relnamespace = 'pgmq'::regnamespace"
    ).fetchall() == [("notify_insert_throttle", "v")]
    shown = "SELECT queue_name, throttle_interval_ms FROM pgmq.notify_insert_throttle"
    assert session.execute(shown).fetchall() == session.execute(settings).fetchall()


def test_upstreams_notifications_become_ours(
    old: tuple[psycopg.Connection, str], server: TestServer
) -> None:
    session, upgrade = old
    session.execute("SELECT pgmq.send('plain', '1')")
    session.execute(upgrade.encode())
    before = server.dump(session.info.dbname)
    if not upgrade.startswith("ALTER"):
        session.execute(upgrade.encode())
        assert server.dump(session.info.dbname) == before
    with server.database() as restored:
        done = server.run_psql(restored, "-v", "ON_ERROR_STOP=1", stdin=before)
        assert done.returncode == 0, done.stdout
        with psycopg.connect(server.dsn(restored), autocommit=True) as copy:
            # A dump carries the clock: an hour passes.
            copy.execute("SELECT setval('pgmq.notify_at_plain', 0)")
            _announces(copy)
    _announces(session)


def test_what_users_built_on_upstreams_helpers_and_settings_goes_on(
    old: tuple[psycopg.Connection, str], role: str
) -> None:
    session, upgrade = old
    session.execute(
        """
        CREATE VIEW public.partman AS SELECT pgmq._get_pg_partman_schema() AS schema,
            pgmq._get_partition_col('7') AS key, pgmq._extension_exists('plpgsql') AS is_there;
        CREATE FUNCTION public.settings() RETURNS SETOF text LANGUAGE sql AS
            'SELECT queue_name FROM pgmq.notify_insert_throttle ORDER BY 1';
        CREATE VIEW public."my settings" WITH (security_barrier) AS
            SELECT n.queue_name, n.throttle_interval_ms AS ms
            FROM pgmq.notify_insert_throttle AS n WHERE n.throttle_interval_ms > 0;
        CREATE VIEW public.count AS SELECT count(*) FROM public."my settings";
        CREATE VIEW public.all_settings AS SELECT * FROM pgmq.notify_insert_throttle;
        CREATE TABLE public.mine (x integer);
        CREATE TRIGGER announce AFTER INSERT ON public.mine
        FOR EACH ROW EXECUTE FUNCTION pgmq.notify_queue_listeners();
        """
    )
    session.execute(
        "GRANT SELECT, UPDATE (throttle_interval_ms)"
        f" ON pgmq.notify_insert_throttle TO {role} WITH GRANT OPTION"
    )
    session.execute(f'GRANT SELECT ON public."my settings" TO {role}')
    granted = """
        SELECT
            c.relname::text, c.relowner,
            concat(c.relacl, (
                SELECT max(a.attacl::text) FROM pg_attribute AS a WHERE a.attrelid = c.oid
            )),
            c.reloptions
        FROM pg_class AS c
        WHERE c.relname IN ('notify_insert_throttle', 'my settings') ORDER BY 1
    """
    before = session.execute(granted).fetchall()
    session.execute(upgrade.encode())
    after = session.execute(granted).fetchall()
    assert after[0] == before[0]
    assert after[1][2].split(role)[1:] == before[1][2].split(role)[1:]
    for rows, query in (
        ([(None, "msg_id", True)], "TABLE public.partman"),
        ([("Mixed Case",), ("plain",)], "SELECT public.settings()"),
        ([("plain", 250)], 'TABLE public."my settings"'),
        ([(1,)], "TABLE public.count"),
        ([("Mixed Case",), ("plain",)], "SELECT queue_name FROM public.all_settings ORDER BY 1"),
    ):
        assert session.execute(query.encode()).fetchall() == rows
    session.execute('LISTEN "pgmq.mine.INSERT"; INSERT INTO public.mine VALUES (1)')
    assert len(list(session.notifies(timeout=1, stop_after=1))) == 1
    assert ids(
        session,
        "SELECT count(*) FROM pg_depend WHERE deptype = 'e' AND objid = "
        "'public.\"my settings\"'::regclass",
    ) == [0]


def test_groups_of_an_adopted_queue_keep_their_order(new: psycopg.Connection) -> None:
    indexes = "SELECT indexname FROM pg_indexes WHERE tablename = 'q_fifo' AND indexname ~ 'idx'"
    assert sorted(ids(new, indexes)) == ["fifo_idx_fifo", "parked_idx_fifo", "ready_idx_fifo"]
    # 1 of the group a is in flight.
    assert ids(new, "SELECT msg_id FROM pgmq.read_grouped('fifo', 60, 9)") == [2, 4]
    new.execute("SELECT pgmq.ack('fifo', 1, 1)")
    assert ids(new, "SELECT msg_id FROM pgmq.read_group('fifo', 'a', 60, 9)") == [3]


def test_an_adopted_queue_has_the_indexes_of_a_new_one_and_is_no_member_of_the_extension(
    new: psycopg.Connection,
) -> None:
    new.execute("SELECT pgmq.create('fresh')")
    definitions = """
        SELECT replace(indexdef, %(name)s, 'x') FROM pg_indexes
        WHERE schemaname = 'pgmq' AND tablename = 'q_' || %(name)s ORDER BY 1
    """
    adopted = new.execute(definitions, {"name": "plain"}).fetchall()
    assert adopted == new.execute(definitions, {"name": "fresh"}).fetchall()
    members = """
        SELECT o.identity FROM pg_depend AS d CROSS JOIN pg_identify_object(classid, objid, 0) AS o
        WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
            AND o.identity ~ '_(plain|mixed case|fleeting)'
    """
    assert ids(new, members) == []


def test_a_dump_of_an_upgraded_database_carries_queues_bindings_exchanges_and_policies(
    new: psycopg.Connection, server: TestServer
) -> None:
    new.execute("SELECT pgmq.create_exchange('e'), pgmq.create('fresh'), pgmq.create('Q')")
    new.execute("SELECT pgmq.bind('e', 'mixed case', '#'), pgmq.bind('e', 'fresh', 'a.#')")
    new.execute("SELECT pgmq.bind_channel('e', 'c', 'b', 'regex')")
    new.execute("SELECT pgmq.bind_topic('a', 'fresh')")
    new.execute(
        "SELECT pgmq.set_policy('Q', max_receives => 1, dead_letter_queue => 'mixed case',"
        " retry_delay => '1 s', dedup_window => '1 hour', max_in_flight => 2)"
    )
    new.execute("SELECT pgmq.send_once('q', '1', 'k'); SELECT pgmq.read('q', 0, 1)")
    dump = server.dump(new.info.dbname)
    with server.database() as restored:
        done = server.run_psql(restored, "-v", "ON_ERROR_STOP=1", stdin=dump)
        assert done.returncode == 0, done.stdout
        with psycopg.connect(server.dsn(restored), autocommit=True) as copy:
            assert _contents(copy) == _contents(new)
            for table in ("topic_bindings", "exchange", "binding"):
                rows = f"SELECT * FROM pgmq.{table} AS t ORDER BY t::text"
                assert copy.execute(rows).fetchall() == new.execute(rows).fetchall()
            policy = "SELECT p::text FROM pgmq.get_policy('q') AS p"
            assert copy.execute(policy).fetchall() == new.execute(policy).fetchall()

            assert ids(copy, "SELECT msg_id FROM pgmq.read('Mixed Case', 60, 9)") == [3, 4]
            assert ids(copy, "SELECT pgmq.publish('e', 'a.b', '1')") == [3]
            assert ids(copy, "SELECT pgmq.send_topic('a', '1')") == [1]
            copy.execute("SELECT pgmq.drop_queue('fresh')")
            assert ids(copy, "SELECT pgmq.publish('e', 'a.b', '1')") == [2]

            assert ids(copy, "SELECT is_new FROM pgmq.send_once('q', '1', 'k')") == [False]
            assert ids(copy, "SELECT msg_id FROM pgmq.read('q', 0, 1)") == []
            dead = "SELECT count(*) FROM pgmq.\"q_mixed case\" WHERE headers ? 'x-pgmq-dead-letter'"
            assert ids(copy, dead) == [1]


def test_the_table_of_bindings_is_after_an_upgrade_what_it_is_in_a_new_database(
    new: psycopg.Connection, db: psycopg.Connection
) -> None:
    indexes = "SELECT indexdef FROM pg_indexes WHERE tablename = 'topic_bindings' ORDER BY 1"
    assert new.execute(indexes).fetchall() == db.execute(indexes).fetchall()
    configured = """
        SELECT c.relname FROM pg_extension AS e, pg_class AS c
        WHERE e.extname = 'pgmq' AND c.oid = ANY (e.extconfig) ORDER BY 1
    """
    in_extension = new.execute(configured).fetchall()
    if in_extension:
        assert in_extension == db.execute(configured).fetchall()


def test_running_the_file_again_changes_and_locks_nothing(
    db: psycopg.Connection, server: TestServer
) -> None:
    db.execute("SELECT pgmq.create('q'); SELECT pgmq.create_unlogged('Other Queue')")
    db.execute("SELECT pgmq.set_policy('Other Queue', dedup_window => '1 s', max_in_flight => 1)")
    db.execute("SELECT pgmq.create_partitioned('p', '100', '1000')")
    db.execute("SELECT pgmq.create_fifo_index('q'), pgmq.enable_notify_insert('q')")
    db.execute("SELECT pgmq.enable_wakeups('p'), pgmq.enable_push('q')")
    before = server.dump(db.info.dbname)
    with db.transaction():
        db.execute((BUILD / "pgmq.sql").read_bytes())
        assert db.execute("SELECT pg_current_xact_id_if_assigned()").fetchone() == (None,)
        # None that keeps anybody from using anything.
        locks = db.execute(
            "SELECT DISTINCT mode FROM pg_locks"
            " WHERE pid = pg_backend_pid() AND locktype <> 'virtualxid'"
        ).fetchall()
        assert set(locks) == {("AccessShareLock",), ("RowExclusiveLock",)}
    assert server.dump(db.info.dbname) == before


# What the sources make is made again where _installed_state() is another ...
INSTALLED = [
    "ALTER FUNCTION pgmq.list_queues() SET work_mem = '1MB'",
    "DROP FUNCTION pgmq.peek(text, integer, jsonb)",
    "DROP TRIGGER change ON pgmq.notify_insert_throttle",
    "REVOKE SELECT ON pgmq.meta FROM public",
    "REVOKE SELECT (vt) ON pgmq.channel FROM pg_monitor",
    "UPDATE pgmq.template SET body = replace(body, 'BEGIN', 'begin')",
    "DROP TABLE pgmq.look",
    "CREATE OR REPLACE FUNCTION pgmq.version() RETURNS text LANGUAGE sql AS 'SELECT null'",
]
# ... and a queue is looked at each time.
OF_A_QUEUE = [
    "DROP INDEX pgmq.ready_idx_q",
    "REVOKE SELECT (vt) ON pgmq.q_q FROM pg_monitor",
    "DROP FUNCTION pgmq._consume_q",
]


def _schema(server: TestServer, dbname: str) -> list[str]:
    """The lines of a dump, in no order: that of grants depends on who had one before."""
    return sorted(server.dump(dbname, "--schema-only").splitlines())


def test_running_the_file_again_puts_right_what_somebody_has_changed(server: TestServer) -> None:
    text = (BUILD / "pgmq.sql").read_bytes()
    with (
        server.database() as dbname,
        psycopg.connect(server.dsn(dbname), autocommit=True) as db,
    ):
        db.execute(text)
        db.execute("SELECT pgmq.create('q')")
        before = _schema(server, dbname)
        template = "SELECT name, features, body FROM pgmq.template ORDER BY name, features"
        templates = db.execute(template).fetchall()
        is_other = (
            "SELECT bool_or(state IS DISTINCT FROM pgmq._installed_state(names))"
            " FROM pgmq.installation"
        )
        assert ids(db, is_other) == [False]
        for change in INSTALLED:
            with case(change), db.transaction(force_rollback=True):
                db.execute(change.encode())
                assert ids(db, is_other) == [True]
        for changes in (OF_A_QUEUE, INSTALLED):
            for change in changes:
                db.execute(change.encode())
            assert _schema(server, dbname) != before
            db.execute(text)
            assert _schema(server, dbname) == before
            assert db.execute(template).fetchall() == templates
            findings = "SELECT FROM pgmq.doctor() WHERE queue_name = 'q'"
            assert db.execute(findings).fetchall() == []


def test_a_queue_whose_functions_were_lost_heals_or_says_how(
    role: str, db: psycopg.Connection
) -> None:
    db.execute("SELECT pgmq.create('q')")
    drop = "SELECT pgmq._drop_compiled(name, 'q') FROM pgmq.template"
    db.execute(drop)
    assert ids(db, "SELECT pgmq.send('q', '1')") == [1]
    db.execute(drop)
    db.execute(f"GRANT USAGE ON SCHEMA pgmq TO {role}")
    db.execute(f"SET ROLE {role}")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match='"q" has lost') as error:
        db.execute("SELECT pgmq.send('q', '1')")
    assert "postgres, its owner, can SELECT pgmq.recompile('q')" in str(
        error.value.diag.message_hint
    )
    db.execute("RESET ROLE")
    assert db.execute("SELECT pgmq.recompile('q')").fetchone() == (True,)
    assert ids(db, "SELECT pgmq.send('q', '1')") == [2]


def test_functions_that_an_older_version_compiled_are_replaced(db: psycopg.Connection) -> None:
    db.execute("SELECT pgmq.create('q')")
    # Another result, and another list of arguments beside which the new one would be ambiguous.
    db.execute("DROP FUNCTION pgmq._receive_q, pgmq._remove_q")
    db.execute(
        "CREATE FUNCTION pgmq._receive_q(integer, integer, jsonb) RETURNS integer RETURN 1;"
        "CREATE FUNCTION pgmq._remove_q(bigint, text) RETURNS boolean RETURN false;"
    )
    db.execute("SELECT pgmq.recompile_all()")
    db.execute("SELECT pgmq.send('q', '1')")
    assert ids(db, "SELECT msg_id FROM pgmq.read('q', 60, 1)") == [1]
    assert db.execute("SELECT pgmq.delete('q', 1::bigint)").fetchone() == (True,)


def test_the_owner_of_a_queue_owns_all_of_it(role: str, db: psycopg.Connection) -> None:
    db.execute(f"GRANT USAGE, CREATE ON SCHEMA pgmq TO {role}")
    db.execute(f"GRANT SELECT, INSERT ON pgmq.meta TO {role}; SET ROLE {role}")
    db.execute("SELECT pgmq.create('q'); RESET ROLE; SELECT pgmq.create_fifo_index('q')")
    db.execute("SELECT pgmq.recompile_all()")
    owners = db.execute(
        """
        SELECT DISTINCT relowner::regrole::text FROM pg_class
        WHERE relname ~ '_q$|q_q' AND relnamespace = 'pgmq'::regnamespace
        UNION SELECT proowner::regrole::text FROM pg_proc
        WHERE proname ~ '^_[a-z]+_q$' AND pronamespace = 'pgmq'::regnamespace
        """
    ).fetchall()
    assert owners == [(role,)]
    db.execute("SELECT pgmq.drop_queue('q')")


def test_names_that_differ_only_in_case_keep_working(
    before: tuple[psycopg.Connection, str], server: TestServer
) -> None:
    """Upstream makes two queues of one table."""
    session, upgrade = before
    names = ["Foo", "foo", "BAR", "Bar"]
    for name in names:
        session.execute("SELECT pgmq.create(%(name)s), pgmq.send(%(name)s, '1')", {"name": name})
    session.execute("SELECT pgmq.enable_notify_insert('Foo'), pgmq.create_fifo_index('Bar')")
    prepare(server, session)
    session.execute(upgrade.encode())
    for name in names:
        assert ids(session, f"SELECT msg_id FROM pgmq.read('{name}', 0, 9)") == [1, 2]
    indexes = "SELECT indexname FROM pg_indexes WHERE tablename IN ('a_foo', 'a_bar') ORDER BY 1"
    assert ids(session, indexes) == [
        *("a_bar_pkey", "a_foo_pkey", "archived_at_idx_bar", "archived_at_idx_foo")
    ]
