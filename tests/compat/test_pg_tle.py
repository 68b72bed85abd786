"""pgmq.tle.sql registers pgmq with pg_tle: with itself where the server has it, or a stand-in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from support import queries, queues
from support.server import BUILD, control
from upgrade import older

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.server import TestServer

pytestmark = pytest.mark.once

VERSION = control()["default_version"]
SCRIPT = BUILD / "pgmq.tle.sql"
STAND_IN = Path(__file__).parents[1] / "support" / "pg_tle.sql"
# What version 1.5 has changed.
WITH_SCHEMA = b"""
    DROP FUNCTION pgtle.install_extension(text, text, text, text, text[]);
    CREATE FUNCTION pgtle.install_extension(
        name text, version text, description text, ext text, requires text[] DEFAULT NULL,
        schema text DEFAULT NULL
    ) RETURNS boolean LANGUAGE plpgsql AS $$
    BEGIN
        ASSERT schema = 'pgmq';
        PERFORM pgtle.install_extension_version_sql(name, version, ext);
        RETURN pgtle.set_default_version(name, version);
    END
    $$
"""


@pytest.fixture
def empty(server: TestServer) -> Iterator[psycopg.Connection]:
    """A database without pg_tle."""
    with (
        server.database() as dbname,
        psycopg.connect(server.dsn(dbname), autocommit=True) as session,
    ):
        yield session


@pytest.fixture(params=["1.4.0", "1.5.3"])
def version(request: pytest.FixtureRequest) -> str:
    """Of pg_tle: before and after install_extension took a schema."""
    return str(request.param)


@pytest.fixture
def host(empty: psycopg.Connection, version: str) -> psycopg.Connection:
    """A database with that version of pg_tle."""
    if _is_real(empty):
        empty.execute(f"CREATE EXTENSION pg_tle VERSION '{version}'".encode())
    else:
        empty.execute(STAND_IN.read_bytes())
        empty.execute(WITH_SCHEMA if version == "1.5.3" else b"")
    return empty


def _is_real(session: psycopg.Connection) -> bool:
    query = "SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_tle'"
    return bool(queries.one(session, query))


def _run(server: TestServer, session: psycopg.Connection) -> str:
    """Register pgmq as documented; return the line that it prints."""
    arguments = ("-v", "ON_ERROR_STOP=1", "-1", "-f", SCRIPT)
    said = server.run_psql(session.info.dbname, *arguments).stdout
    return said.partition(".sql")[2].partition(": ")[2]


def _registered(session: psycopg.Connection) -> dict[str, str]:
    names = "SELECT proname FROM pg_proc WHERE proname LIKE 'pgmq--%.sql' ORDER BY proname"
    return {
        name: queries.one(session, f'SELECT pgtle."{name}"()')
        for name in queries.ids(session, names)
    }


def test_it_is_registered_once_and_can_be_created(
    server: TestServer, host: psycopg.Connection
) -> None:
    line = f"INFO:  pgmq {VERSION}: registered, now run CREATE EXTENSION pgmq\n"
    assert _run(server, host) == line
    scripts = _registered(host)
    # The text that is published for servers whose files can be written.
    assert set(scripts) == {path.name for path in BUILD.glob(f"pgmq--*{VERSION}.sql")}
    plain = (BUILD / "pgmq.sql").read_text()
    for script in scripts.values():
        assert script.removeprefix("\n-- install.sql\n").strip() == plain.strip()
    assert _run(server, host) == line.replace("registered", "registered already")
    assert _registered(host) == scripts

    host.execute("CREATE EXTENSION pgmq")
    assert queries.one(host, "SELECT pgmq.version()") == VERSION
    queues.fill(host)
    queues.works(host)


def test_an_older_version_is_updated(
    server: TestServer, host: psycopg.Connection, version: str, upstream_sql: str
) -> None:
    arguments = "'pgmq', '1.13.0', 'older', %s" + (", schema => 'pgmq'" if version > "1.5" else "")
    host.execute(f"SELECT pgtle.install_extension({arguments})".encode(), [upstream_sql])
    if _is_real(host):
        host.execute("CREATE SCHEMA pgmq; CREATE EXTENSION pgmq SCHEMA pgmq")
    else:
        older.install(server, host, upstream_sql, "1.13.0")
    host.execute("SELECT pgmq.create('q'), pgmq.send('q', '1')")
    line = f"INFO:  pgmq {VERSION}: registered, now run ALTER EXTENSION pgmq UPDATE\n"
    assert _run(server, host) == line
    query = "SELECT default_version FROM pgtle.available_extensions() WHERE name = 'pgmq'"
    assert queries.one(host, query) == VERSION
    host.execute("ALTER EXTENSION pgmq UPDATE")
    assert queries.one(host, "SELECT pgmq.version()") == VERSION
    assert queries.one(host, "SELECT message FROM pgmq.read('q', 60, 1)") == 1


def test_without_pg_tle_it_says_what_to_run(server: TestServer, empty: psycopg.Connection) -> None:
    said = _run(server, empty)
    assert "has no extension pg_tle of version 1.0.4 or later" in said
    assert "Run CREATE EXTENSION pg_tle, or the plain file" in said


def test_a_dump_brings_it_along(server: TestServer, host: psycopg.Connection) -> None:
    if not _is_real(host):
        pytest.skip("needs pg_tle, which is no package: build it from github.com/aws/pg_tle")
    _run(server, host)
    host.execute("CREATE EXTENSION pgmq")
    queues.fill(host)
    dump = server.dump(host.info.dbname)
    with server.database() as dbname:
        assert server.run_psql(dbname, "-v", "ON_ERROR_STOP=1", stdin=dump).returncode == 0
        with psycopg.connect(server.dsn(dbname), autocommit=True) as restored:
            queues.works(restored)
