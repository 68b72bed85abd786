"""Over 2.0.0 with queues of every kind in use."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

import psycopg
import pytest

from support import queries, queues
from support.server import BUILD, WITH_LETTERS
from upgrade import older, schemas

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Roles
    from support.server import TestServer


@pytest.mark.parametrize("version", [*older.OF_2, older.BY_FILE[1]])
def test_every_queue_goes_on_and_its_dump_too(version: str, server: TestServer) -> None:
    with _installed(server, version) as (session, upgrade):
        queues.fill_of_2(session)
        session.execute("SELECT pgmq.create('numbered'), pgmq.open_channel('numbered')")
        number = queries.one(session, "SELECT number FROM pgmq.channel")
        before = _messages(session)
        session.execute(upgrade.encode())
        assert _messages(session) == before
        # It was an identity column.
        session.execute("SELECT pgmq.open_channel('numbered')")
        numbers = queries.ids(session, "SELECT number FROM pgmq.channel ORDER BY 1")
        assert numbers == [number, number + 1]
        session.execute("SELECT pgmq.drop_queue('numbered')")
        queues.fill_newer(session)
        dump = server.dump(session.info.dbname)
        contents = queues.contents(session, without="^channel_number_seq$")
        queues.works(session)
    with server.database() as restored:
        done = server.run_psql(restored, "-v", "ON_ERROR_STOP=1", stdin=dump)
        assert done.returncode == 0, done.stdout
        with psycopg.connect(server.dsn(restored), autocommit=True) as copy:
            assert queues.contents(copy, without="^channel_number_seq$") == contents


def test_the_schema_of_every_queue_is_that_of_a_new_database(server: TestServer) -> None:
    with _database(server) as session:
        session.execute((BUILD / "pgmq.sql").read_bytes())
        _make(session)
        fresh = schemas.schema_of(server, session)
    for version in older.OF_2:
        with _installed(server, version) as (session, upgrade):
            _make(session)
            with contextlib.ExitStack() as stack:
                # Beside others, maintain() finishes it. (Members of an extension stay in it.)
                if version.endswith("plain SQL"):
                    stack.enter_context(psycopg.connect(session.info.dsn))
                session.execute(upgrade.encode())
            session.execute("SELECT pgmq.maintain()")
            dump = server.dump(session.info.dbname)
            schemas.equal(schemas.schema_of(server, session), fresh)
        with _database(server) as copy:
            done = server.run_psql(copy.info.dbname, "-v", "ON_ERROR_STOP=1", stdin=dump)
            assert done.returncode == 0, done.stdout
            schemas.equal(schemas.schema_of(server, copy), fresh)


def test_functions_of_another_roles_queue_stay_out_of_the_extension(
    roles: Roles, server: TestServer
) -> None:
    """Some are called as functions of today are: pgmq._send_batch, of a queue called batch."""
    owner = roles()
    with _installed(server, "2.0.0") as (session, upgrade):
        session.execute(f"GRANT USAGE, CREATE ON SCHEMA pgmq TO {owner}".encode())
        session.execute(f"GRANT INSERT, SELECT ON pgmq.meta TO {owner}".encode())
        session.execute(f"SET ROLE {owner}; SELECT pgmq.create('batch')".encode())
        session.execute("RESET ROLE")
        session.execute(upgrade.encode())
        session.execute(f"SET ROLE {owner}".encode())
        assert queries.one(session, "SELECT pgmq.send('batch', '1')") == 1
        assert queries.one(session, "SELECT message FROM pgmq.read('batch', 9, 1)") == 1


@pytest.mark.parametrize("version", older.OF_2)
def test_queues_whose_names_have_other_bytes_in_lower_case_go_on(
    version: str, server: TestServer
) -> None:
    names = [20 * "\N{LATIN CAPITAL LETTER A WITH STROKE}", 20 * "\N{KELVIN SIGN}"]
    with _installed(server, version, WITH_LETTERS) as (session, upgrade):
        for name in names:
            session.execute("SELECT pgmq.create(%s), pgmq.create_fifo_index(%s)", [name, name])
            session.execute("SELECT pgmq.set_policy(%s, dedup_window => '1 h')", [name])
            session.execute("SELECT pgmq.send_once(%s, '1', 'key')", [name])
        session.execute(upgrade.encode())
        session.execute("SELECT pgmq.maintain()")
        for name in names:
            lower = name.lower()
            again = "SELECT msg_id FROM pgmq.send_once(%s, '1', 'key')"
            assert queries.one(session, again, lower) == 1
            read = "SELECT msg_id FROM pgmq.read_grouped(%s, 60, 1)"
            assert queries.ids(session, read, lower) == [1]
            session.execute("SELECT pgmq.drop_queue(%s)", [lower])
        left = """
            SELECT relname FROM pg_class WHERE relnamespace = 'pgmq'::regnamespace AND relname ~ %s
            UNION ALL
            SELECT proname FROM pg_proc WHERE pronamespace = 'pgmq'::regnamespace AND proname ~ %s
        """
        pattern = "_[0-9a-f]{32}$|_(.)\\1{7}"
        assert queries.ids(session, left, pattern, pattern) == []


@pytest.mark.parametrize("version", older.OF_2)
def test_what_was_made_with_functions_that_have_more_arguments_now_goes_on(
    version: str, server: TestServer
) -> None:
    calls = "SELECT again(), change()::text, n FROM redriven"
    with _installed(server, version) as (session, upgrade):
        session.execute(
            """
            SELECT pgmq.create('work'), pgmq.create('dead'), pgmq.send('work', '1');
            SELECT pgmq.set_policy('work', max_receives => 1, dead_letter_queue => 'dead');
            CREATE FUNCTION again() RETURNS bigint BEGIN ATOMIC SELECT pgmq.redrive('dead'); END;
            CREATE FUNCTION change() RETURNS void BEGIN ATOMIC SELECT pgmq.set_policy(
                'work', 2, retry_delay => '1 s', retry_jitter => 0.5, ack_archives => true
            ); END;
            CREATE VIEW redriven AS SELECT pgmq.redrive('dead', qty => 1) AS n;
            """
        )
        session.execute(upgrade.encode())
        session.execute("SELECT pgmq.read('work', 0, 1); SELECT pgmq.read('work', 0, 1)")
        assert session.execute(calls).fetchall() == [(0, "", 1)]  # the view comes first
        policy = "SELECT max_receives, retry_jitter, ack_archives FROM pgmq.policy"
        assert session.execute(policy).fetchall() == [(2, 0.5, True)]
        assert queries.one(session, "SELECT pgmq.redrive('dead')") == 0
        dump = server.dump(session.info.dbname)
    with _database(server) as copy:
        done = server.run_psql(copy.info.dbname, "-v", "ON_ERROR_STOP=1", stdin=dump)
        assert done.returncode == 0, done.stdout
        assert copy.execute(calls).fetchall() == [(0, "", 0)]


@contextlib.contextmanager
def _database(server: TestServer, options: str = "") -> Iterator[psycopg.Connection]:
    with (
        server.database(options=options) as dbname,
        psycopg.connect(server.dsn(dbname), autocommit=True) as session,
    ):
        yield session


@contextlib.contextmanager
def _installed(
    server: TestServer, version: str, options: str = ""
) -> Iterator[tuple[psycopg.Connection, str]]:
    """A database with this version in it, and what brings it to today's."""
    with _database(server, options) as session:
        yield session, older.install(server, session, "", version)


def _make(session: psycopg.Connection) -> None:
    for kind in queues.OF_2:
        session.execute(queues.KINDS[kind].encode())
    # A function of 2.0.0 is called _send_batch as one of pgmq 1 is.
    session.execute("SELECT pgmq.create('batch'), pgmq.enable_notify_insert('batch', 60000)")
    session.execute("SELECT pgmq.enable_notify_insert(%s, 0)", ['Mixed "Case" %I'])


def _messages(session: psycopg.Connection) -> dict[str, object]:
    found = queues.contents(session)
    return {name: rows for name, rows in found.items() if re.match('pgmq."?([qa]|dedup)_', name)}
