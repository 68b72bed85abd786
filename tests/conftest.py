"""Fixtures that every test may use; what they stand on is in support/server.py."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
import pytest
from pytest_postgresql import factories

from support import server as servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_postgresql.executors import NoopExecutor

    from pgmq import embedded

_ADDRESS = "PGMQ_TEST_SERVER"
_stack = contextlib.ExitStack()


class Roles(Protocol):
    """Makes a role, and returns its name, which needs no quotes."""

    def __call__(self, options: str = "LOGIN") -> str: ...


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
    # Programs that tests start compile the package once, not each anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if config.getoption("numprocesses", None) and not config.option.collectonly:
        os.environ[_ADDRESS] = servers.address(_stack.enter_context(servers.running()))


def pytest_unconfigure(config: pytest.Config) -> None:
    _stack.close()


@pytest.fixture(scope="session")
def server() -> Iterator[servers.TestServer]:
    """The server: dsn(dbname), bindir, psql, version, major, embedded."""
    known = os.environ.get(_ADDRESS)
    with servers.attached(known) if known else servers.running() as found:
        yield found


postgresql_noproc = factories.postgresql_noproc(
    depends_on="server", dbname=servers.PREFIX, load=[servers.load_pgmq]
)


@pytest.fixture(scope="session")
def template(postgresql_noproc: NoopExecutor) -> str:
    """The template with the extension, for server.database(name).

    A module whose tests begin with the same queues has one of its own: see server.prepared().
    """
    return postgresql_noproc.template_dbname


@pytest.fixture
def roles(server: servers.TestServer) -> Iterator[Roles]:
    """Make roles; they are dropped after the test's database, with which all goes that they own."""
    made: list[str] = []

    def make(options: str = "LOGIN") -> str:
        made.append(server.make_role(options))
        return made[-1]

    yield make
    server.drop_roles(*made)


@pytest.fixture
def database(server: servers.TestServer, template: str, roles: Roles) -> Iterator[str]:
    """The name of a database with the extension, for this test alone."""
    with server.database(template) as dbname:
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
        return servers.upstream_sql()
    except servers.MissingError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def upstream_wheel() -> Path:
    """The wheel of upstream's Python client."""
    try:
        return servers.upstream_wheel()
    except servers.MissingError as missing:
        pytest.skip(str(missing))


upstream_noproc = factories.postgresql_noproc(
    depends_on="server", dbname=f"{servers.PREFIX}_upstream", load=[servers.load_upstream]
)


@pytest.fixture(scope="session")
def upstream_template(upstream_sql: str, request: pytest.FixtureRequest) -> str:
    """The template in which upstream is installed, for server.database(name)."""
    upstream: NoopExecutor = request.getfixturevalue("upstream_noproc")
    return upstream.template_dbname


@pytest.fixture
def upstream(server: servers.TestServer, upstream_template: str) -> Iterator[psycopg.Connection]:
    """A session in autocommit to a database with upstream in it, for this test alone."""
    with (
        server.database(upstream_template) as dbname,
        psycopg.connect(server.dsn(dbname), autocommit=True) as connection,
    ):
        yield connection
