"""Dumps of queues in use, restored in every way: of the extension and of the plain SQL."""

from __future__ import annotations

import contextlib
import functools
import re
import subprocess
from typing import TYPE_CHECKING, NamedTuple

import psycopg
import pytest

from support import queries, queues
from support.server import BUILD, ROOT
from support.sweeps import sweep_every
from upgrade import older

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Roles
    from support.server import TestServer

# How a database is dumped, and how that is restored. With pg_dump -n, an extension needs its -e.
WAYS: dict[str, tuple[list[str], list[list[str]]]] = {
    "in one transaction": ([], [["-1"]]),
    "the schema": (["-n", "pgmq"], [[]]),
    "in sections": (
        [],
        [
            ["--section=pre-data"],
            *[[f"--section={name}", "-j", "4"] for name in ("data", "post-data")],
        ],
    ),
    "schema, then data": ([], [["--schema-only"], ["--data-only", "-j", "4"]]),
}


class Filled(NamedTuple):
    """A database with queues of every kind, for server.database(), and a session to another."""

    template: str
    session: psycopg.Connection


@contextlib.contextmanager
def _filled(server: TestServer, installed: str) -> Iterator[Filled]:
    with server.database() as template:
        with psycopg.connect(server.dsn(template), autocommit=True) as session:
            if installed == "plain SQL":
                session.execute((BUILD / "pgmq.sql").read_bytes())
            else:
                session.execute("CREATE EXTENSION pgmq")
            queues.fill(session)
        with (
            server.database(template) as dbname,
            psycopg.connect(server.dsn(dbname), autocommit=True) as session,
        ):
            yield Filled(template, session)


@pytest.fixture(scope="module")
def filled_once(server: TestServer) -> Iterator[Callable[[str], Filled]]:
    """Fill what is asked for; also for tests that name it themselves, only the first time."""
    with contextlib.ExitStack() as stack:
        yield functools.cache(lambda installed: stack.enter_context(_filled(server, installed)))


@pytest.fixture(params=["extension", "plain SQL"])
def filled(
    request: pytest.FixtureRequest, server: TestServer, filled_once: Callable[[str], Filled]
) -> Filled:
    if request.param == "extension" and server.embedded is None:
        pytest.skip("needs the embedded server, in which pgmq is an extension")
    return filled_once(request.param)


@pytest.fixture
def original(filled: Filled) -> psycopg.Connection:
    return filled.session


def test_psql_restores_every_kind_of_queue(
    original: psycopg.Connection, server: TestServer
) -> None:
    with server.database() as restored:
        dump = server.dump(original.info.dbname)
        done = server.run_psql(restored, "-v", "ON_ERROR_STOP=1", stdin=dump)
        assert done.returncode == 0, done.stdout
        with psycopg.connect(server.dsn(restored), autocommit=True) as copy:
            assert queues.contents(copy) == queues.contents(original)
            queues.works(copy)


def test_what_is_there_is_replaced_by_a_dump_that_cleans(
    filled: Filled, original: psycopg.Connection, server: TestServer
) -> None:
    dump = server.dump(original.info.dbname, "--clean", "--if-exists")
    with server.database(filled.template) as restored:
        with psycopg.connect(server.dsn(restored), autocommit=True) as copy:
            copy.execute("SELECT pgmq.purge_queue('plain'), pgmq.send('by_id', '9')")
        done = server.run_psql(restored, stdin=dump)
        errors = [line for line in done.stdout.splitlines() if line.startswith("ERROR")]
        # Postgres' own: they go with those of the whole tables.
        assert [line for line in errors if "cannot drop inherited constraint" not in line] == []
        _equal(original, server, restored)


# An extension's triggers and constraints are there before the data; those of the plain SQL only
# where all of the schema is.
@pytest.mark.parametrize(
    ("filled", "way"),
    [
        *(("extension", way) for way in WAYS),
        *(("plain SQL", way) for way in ("the schema", "schema, then data")),
    ],
    indirect=["filled"],
)
def test_pg_restore_restores_every_kind_of_queue(
    way: str, original: psycopg.Connection, server: TestServer, tmp_path: Path
) -> None:
    dump, restores = WAYS[way]
    if "-n" in dump and queries.one(original, "SELECT count(*) FROM pgmq._members()") > 0:
        dump = [*dump, "-e", "pgmq"]
    with server.database() as restored:
        _dump_and_restore(server, original.info.dbname, dump, restored, restores, tmp_path)
        _equal(original, server, restored)


def test_a_role_that_reads_all_data_dumps_all_of_it(
    original: psycopg.Connection, server: TestServer, roles: Roles
) -> None:
    """Of streams, too, although policies say which groups' lanes a role sees."""
    role = roles()
    original.execute(f"GRANT pg_read_all_data TO {role}".encode())
    whole = server.dump(original.info.dbname)
    for option in ("--no-security-labels", "--enable-row-security"):
        part = server.dump(original.info.dbname, f"--role={role}", option)
        assert part.replace("SET row_security = on;", "SET row_security = off;") == whole


@pytest.mark.parametrize("filled", ["plain SQL"], indirect=True)
@pytest.mark.parametrize("data_only", [False, True], ids=["tables", "data"])
def test_single_queues_are_restored_where_pgmq_is(
    data_only: bool, original: psycopg.Connection, server: TestServer, tmp_path: Path
) -> None:
    dump = ["-t", "pgmq.*_plain", "-t", "pgmq.*_announced", *["--data-only"][: int(data_only)]]
    create = b"SELECT pgmq.create('plain'), pgmq.create('announced')"
    with (
        server.database() as restored,
        psycopg.connect(server.dsn(restored), autocommit=True) as copy,
    ):
        copy.execute((BUILD / "pgmq.sql").read_bytes())
        if data_only:
            copy.execute(create + b", pgmq.enable_notify_insert('announced')")
        _dump_and_restore(server, original.info.dbname, dump, restored, [[]], tmp_path)
        copy.execute(create)
        wanted = queues.contents(original)
        found = {name: rows for name, rows in queues.contents(copy).items() if "_plain" in name}
        assert found == {name: wanted[name] for name in found}
        assert {"pgmq.q_plain", "pgmq.a_plain", "pgmq.ready_mark_plain"} <= set(found)
        for queue in ("plain", "announced"):
            assert queries.one(copy, "SELECT pgmq.send(%s, '7')", queue) == 6
            call = "SELECT msg_id FROM pgmq.read(%s, 60, 9)"
            assert queries.ids(copy, call, queue) == [3, 4, 6]
            assert queries.one(copy, "SELECT pgmq.ack(%s, 2, 1)", queue)


def test_a_single_queue_is_dumped_by_the_pattern_of_the_page(
    db: psycopg.Connection, server: TestServer, tmp_path: Path
) -> None:
    page = (ROOT / "extension" / "docs" / "operations.md").read_text()
    orders, events = re.findall(r"pg_dump -Fc -t '(.*)' -f", page)
    db.execute(
        """
        SELECT pgmq.create('orders'), pgmq.create('big_orders'), pgmq.enable_wakeups('orders');
        SELECT pgmq.set_policy('orders', dedup_window => '1 h');
        SELECT pgmq.send_once('orders', '1', 'key'), pgmq.create('orders_p1');
        SELECT pgmq.create_partitioned('t_events', '1 day', null), pgmq.send('t_events', '1');
        SELECT pgmq.create_partitioned('p_events', '3', null), pgmq.create_stream('events', '100');
        SELECT pgmq.send_batch(n, '{1,2,3,4,5}') FROM unnest('{p_events,events}'::text[]) AS n;
        SELECT pgmq.create_group('events', 'g', 'earliest');
        SELECT pgmq.commit('events', 'g', lane, epoch) FROM pgmq.fetch('events', 'g', 60, 2)
        LIMIT 1
        """
    )
    wanted = {
        orders: {"q_orders", "a_orders", "dedup_orders"},
        events: {"q_events", "lane_events", "lane_events_default", "q_events_default"},
        events.replace("events", "p_events"): {"q_p_events", "a_p_events", "q_p_events_p3"},
        events.replace("events", "t_events"): {"q_t_events", "a_t_events", "q_t_events_default"},
    }
    with (
        server.database() as restored,
        psycopg.connect(server.dsn(restored), autocommit=True) as copy,
    ):
        copy.execute((BUILD / "pgmq.sql").read_bytes())
        file = str(tmp_path / "dump")
        for pattern, names in wanted.items():
            for program, *arguments in (
                ["pg_dump", "-Fc", "-t", pattern, "-f", file, "-d", server.dsn(db.info.dbname)],
                ["pg_restore", "-d", server.dsn(restored), file],
            ):
                done = subprocess.run(
                    [server.bindir / program, *arguments],
                    check=False,
                    capture_output=True,
                    text=True,
                )
                errors = re.findall(r"ERROR: +(.*)", done.stderr)
                # The second is of a pg_restore that is newer than the server.
                known = r"function pgmq\._wake_orders\(\) does not exist|transaction_timeout"
                assert [text for text in errors if not re.search(known, text)] == [], done.stderr
            there = "SELECT relname::text FROM pg_class WHERE relnamespace = 'pgmq'::regnamespace"
            assert names <= {*queries.ids(copy, there)}
        assert queries.one(copy, "SELECT to_regclass('pgmq.q_big_orders')") is None
        assert queries.one(copy, "SELECT to_regclass('pgmq.q_orders_p1')") is None
        copy.execute(
            "SELECT pgmq.create('orders'), pgmq.enable_wakeups('orders'),"
            " pgmq.create_partitioned('p_events', '3', null),"
            " pgmq.create_partitioned('t_events', '1 day', null),"
            " pgmq.create_stream('events', '100'), pgmq.create_group('events', 'g', 'earliest')"
        )
        for queue, ids in {"orders": [1], "p_events": [1, 2, 3, 4, 5], "t_events": [1]}.items():
            assert queries.ids(copy, "SELECT msg_id FROM pgmq.read(%s, 60, 9)", queue) == ids
        assert queries.ids(copy, "SELECT msg_id FROM pgmq.fetch('events', 'g', 60, 9)") == [3, 4, 5]
        assert queries.one(copy, "SELECT pgmq.send('p_events', '1')") == 6
        copy.execute("SELECT pgmq.set_policy('orders', dedup_window => '1 h')")
        assert queries.one(copy, "SELECT msg_id FROM pgmq.send_once('orders', '1', 'key')") == 1
        problems = "SELECT finding FROM pgmq.doctor() WHERE queue_name <> ''"
        assert queries.ids(copy, problems) == []


def test_maintain_finds_what_was_consumed_while_the_dump_was_taken(
    db: psycopg.Connection, server: TestServer
) -> None:
    """A dump has the rows of its first moment, but the marks, which are sequences, of a later."""
    db.execute("SELECT pgmq.create('q'), pgmq.send_batch('q', '{1,2,3,4}')")
    with psycopg.connect(db.info.dsn) as dumper:
        dumper.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        snapshot = queries.one(dumper, "SELECT pg_export_snapshot()")
        sweep_every(db, "1 year")
        assert len(queries.ids(db, "SELECT pgmq.delete('q', '{1,2,3,4}'::bigint[])")) == 4
        db.execute("SELECT pgmq.maintain('q')")
        dump = server.dump(db.info.dbname, f"--snapshot={snapshot}")
    with server.database() as restored:
        done = server.run_psql(restored, "-v", "ON_ERROR_STOP=1", stdin=dump)
        assert done.returncode == 0, done.stdout
        with psycopg.connect(server.dsn(restored), autocommit=True) as copy:
            assert queries.ids(copy, "SELECT msg_id FROM pgmq.peek('q', 9)") == []
            copy.execute("SELECT pgmq.maintain()")
            assert queries.ids(copy, "SELECT msg_id FROM pgmq.peek('q', 9)") == [1, 2, 3, 4]


def test_a_dump_of_the_extension_1_13_is_restored_by_todays(
    server: TestServer, upstream_sql: str
) -> None:
    without = "--exclude-table-data=pgmq.notify_insert_throttle"
    with (
        server.database() as dbname,
        psycopg.connect(server.dsn(dbname), autocommit=True) as session,
    ):
        older.install(server, session, upstream_sql, "1.13.0")
        session.execute("SELECT pgmq.create('q'), pgmq.create('Mixed'); SELECT pgmq.send('q', '1')")
        session.execute("SELECT pgmq.enable_notify_insert('q', 0), pgmq.bind_topic('a.#', 'Mixed')")
        dump = server.dump(dbname, without)
    with (
        server.database() as dbname,
        psycopg.connect(server.dsn(dbname), autocommit=True) as copy,
    ):
        done = server.run_psql(dbname, "-v", "ON_ERROR_STOP=1", stdin=dump)
        assert done.returncode == 0, done.stdout
        copy.execute((BUILD / "pgmq.sql").read_bytes())
        copy.execute("SELECT pgmq.enable_notify_insert('q', 0)")
        assert queries.one(copy, "SELECT pgmq.send_topic('a.b', '1')") == 1
        assert queries.ids(copy, "SELECT msg_id FROM pgmq.read('q', 0, 9)") == [1]
        assert queries.ids(copy, "SELECT finding FROM pgmq.doctor() WHERE queue_name <> ''") == []


def _equal(original: psycopg.Connection, server: TestServer, restored: str) -> None:
    with psycopg.connect(server.dsn(restored), autocommit=True) as copy:
        assert queues.contents(copy) == queues.contents(original)


def _dump_and_restore(
    server: TestServer,
    source: str,
    dump: list[str],
    target: str,
    restores: list[list[str]],
    folder: Path,
) -> None:
    file = str(folder / "dump")
    for program, *arguments in (
        ["pg_dump", "-Fc", *dump, "-f", file, "-d", server.dsn(source)],
        *(["pg_restore", *restore, "-d", server.dsn(target), file] for restore in restores),
    ):
        done = subprocess.run(
            [server.bindir / program, *arguments], check=False, capture_output=True, text=True
        )
        if "transaction_timeout" in done.stderr:
            pytest.skip("pg_restore is newer than the server, which does not know all it sets")
        assert (done.returncode, done.stderr) == (0, "")
