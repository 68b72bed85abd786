"""Fixtures that every test may use; what they stand on is in support/server.py."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
import pytest

from support import server as servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pgmq import embedded

_ADDRESS = "PGMQ_TEST_SERVER"
_stack = contextlib.ExitStack()


class Connect(Protocol):
    """Opens a session to the test's database; keywords are those of psycopg.connect."""

    def __call__(self, *, autocommit: bool = True, **kwargs: Any) -> psycopg.Connection: ...


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        return
    try:
        servers.build()
    except subprocess.CalledProcessError:
        pytest.exit("make build failed", returncode=2)
    if config.getoption("numprocesses", None) and not config.option.collectonly:
        started = _stack.enter_context(servers.running())
        with contextlib.suppress(servers.MissingError):
            _make_upstream(started, servers.upstream_sql(_cache()))
        os.environ[_ADDRESS] = servers.address(started)


def pytest_unconfigure(config: pytest.Config) -> None:
    _stack.close()


@pytest.fixture(scope="session")
def server() -> Iterator[servers.TestServer]:
    """The server: dsn(dbname), bindir, psql, version, major, embedded."""
    known = os.environ.get(_ADDRESS)
    if known:
        yield servers.attach(known)
    else:
        with servers.running() as started:
            yield started


@pytest.fixture
def database(server: servers.TestServer) -> Iterator[str]:
    """The name of a database with the extension, for this test alone."""
    with server.database("pgmq") as dbname:
        yield dbname


@pytest.fixture
def dsn(server: servers.TestServer, database: str) -> str:
    """The connection string of the test's database."""
    return server.dsn(database)


@pytest.fixture
def connect(dsn: str) -> Iterator[Connect]:
    """Open more sessions to the test's database; they are closed at its end."""
    with contextlib.ExitStack() as stack:

        def connect(*, autocommit: bool = True, **kwargs: Any) -> psycopg.Connection:
            connection = psycopg.connect(dsn, autocommit=autocommit, **kwargs)
            stack.callback(connection.close)
            return connection

        yield connect


@pytest.fixture
def db(connect: Connect) -> psycopg.Connection:
    """A session in autocommit to the test's database."""
    return connect()


@pytest.fixture
def new_server() -> Iterator[Callable[..., embedded.Server]]:
    """Start a server of the test's own, which it may crash or configure; keywords are settings.

    An argument says which Postgres, as PGMQ_TEST_POSTGRES does.
    """
    with contextlib.ExitStack() as stack:
        yield lambda postgres="", **settings: stack.enter_context(
            servers.private(settings, postgres)
        )


@pytest.fixture(scope="session")
def upstream_sql() -> str:
    """The text of upstream's pgmq.sql 1.13.0."""
    try:
        return servers.upstream_sql(_cache())
    except servers.MissingError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def upstream_wheel() -> Path:
    """The wheel of upstream's Python client."""
    try:
        return servers.upstream_wheel(_cache())
    except servers.MissingError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def upstream_template(server: servers.TestServer, upstream_sql: str) -> str:
    """The name of the template in which upstream is installed, for server.database(name)."""
    _make_upstream(server, upstream_sql)
    return "upstream"


@pytest.fixture
def upstream(server: servers.TestServer, upstream_template: str) -> Iterator[psycopg.Connection]:
    """A session in autocommit to a database with upstream in it, for this test alone."""
    with (
        server.database(upstream_template) as dbname,
        psycopg.connect(server.dsn(dbname), autocommit=True) as connection,
    ):
        yield connection


def _make_upstream(server: servers.TestServer, script: str) -> None:
    if not server.has_template("upstream"):
        server.make_template("upstream", script)


def _cache() -> Path:
    return servers.ROOT / ".venv" / "cache"
