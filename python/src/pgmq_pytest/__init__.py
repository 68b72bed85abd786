"""Fixtures for tests of what uses pgmq: a server for the run, and a clean database for each test.

pytest loads this by its entry point, whether a test asks for it or not: so it is no part of pgmq,
and imports that only when a fixture is made.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pgmq import PGMQueue

    Clone = Callable[[str], AbstractContextManager[str]]

__all__ = ["pgmq_dsn", "pgmq_queue", "pgmq_server", "pgmq_template"]

# Nobody needs these data after a crash.
_SETTINGS = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


@pytest.fixture(scope="session")
def pgmq_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Give the connection string of a server where databases may be made.

    It is the one that PGMQ_DSN names, or one from a wheel (pip install 'pgmq[pytest]'), which the
    processes of pytest-xdist share, or that of pytest-postgresql's postgresql_proc. A fixture of
    this name in a conftest.py may return any other.
    """
    from psycopg.conninfo import make_conninfo

    from pgmq import embedded
    from pgmq.base import find_server

    if os.environ.get("PGMQ_DSN"):
        yield make_conninfo("", **find_server())
    elif embedded.prefixes():
        folder = tmp_path_factory.getbasetemp()
        with _embedded(folder.parent if os.environ.get("PYTEST_XDIST_WORKER") else folder) as dsn:
            yield dsn
    else:
        try:
            proc = request.getfixturevalue("postgresql_proc")
        except pytest.FixtureLookupError:
            pytest.fail(
                "no Postgres for pgmq_server: set PGMQ_DSN, or pip install 'pgmq[pytest]'",
                pytrace=False,
            )
        yield make_conninfo(
            host=proc.host, port=proc.port, user=proc.user, password=proc.password or None
        )


@contextlib.contextmanager
def _embedded(folder: Path) -> Iterator[str]:
    """Start a server that all processes share, or use it; the last one stops it."""
    import fcntl

    from pgmq import embedded

    for left in folder.parent.glob("pytest-*/pgmq.lock"):  # by a run that was killed
        with left.open("w") as lock, contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if server := embedded.find(left.with_suffix("")):
                server.stop(remove=True, mode="immediate")
    with (folder / "pgmq.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        server = embedded.server(folder / "pgmq", settings=_SETTINGS)
        fcntl.flock(lock, fcntl.LOCK_SH)
        try:
            yield server.dsn()
        finally:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                server.stop(remove=True, mode="immediate")


@pytest.fixture(scope="session")
def _pgmq_clone(pgmq_server: str) -> Iterator[Clone]:
    """Make a database of a template, and drop it in the end."""
    import psycopg
    from psycopg import sql
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    pgmq_server = make_conninfo(
        pgmq_server, dbname=conninfo_to_dict(pgmq_server).get("dbname") or "postgres"
    )
    with psycopg.connect(pgmq_server, autocommit=True) as admin:
        # Copying files needs a checkpoint, which is quick where nothing waits for the disk.
        quick = admin.info.server_version >= 150000 and admin.execute("SHOW fsync").fetchone() == (
            "off",
        )
        strategy = sql.SQL("STRATEGY file_copy" if quick else "")

        @contextlib.contextmanager
        def clone(template: str) -> Iterator[str]:
            name = f"pgmq_pytest_{secrets.token_hex(6)}"
            source = str(conninfo_to_dict(template)["dbname"])
            create = sql.SQL("CREATE DATABASE {} TEMPLATE {} {}")
            admin.execute(create.format(sql.Identifier(name), sql.Identifier(source), strategy))
            try:
                yield make_conninfo(pgmq_server, dbname=name)
            finally:
                drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
                admin.execute(drop.format(sql.Identifier(name)))

        yield clone


@pytest.fixture(scope="session")
def pgmq_template(_pgmq_clone: Clone) -> Iterator[str]:
    """Give the connection string of the database that tests get copies of; it has pgmq.

    A fixture of this name in a conftest.py that takes this one may put more into it, tables and
    queues. Nobody may be connected to it when the first test begins.
    """
    import psycopg

    from pgmq.install import install_or_update

    with _pgmq_clone("dbname=template0") as dsn:
        with psycopg.connect(dsn, autocommit=True) as connection:
            install_or_update(connection)
        yield dsn


@pytest.fixture
def pgmq_dsn(_pgmq_clone: Clone, pgmq_template: str) -> Iterator[str]:
    """Give the connection string of a database for this test alone, with pgmq installed."""
    with _pgmq_clone(pgmq_template) as dsn:
        yield dsn


@pytest.fixture
def pgmq_queue(pgmq_dsn: str) -> Iterator[PGMQueue]:
    """Give a client of the test's database."""
    from pgmq import PGMQueue

    with PGMQueue(pgmq_dsn) as client:
        yield client
