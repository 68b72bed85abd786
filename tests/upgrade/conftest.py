"""What was there before."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import psycopg
import pytest

from upgrade import older

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.server import TestServer


@pytest.fixture
def role(server: TestServer) -> Iterator[str]:
    """The name of a role that the test may make."""
    name = f"{server.prefix}_consumer_{os.getpid()}"
    yield name
    with server.admin() as admin:
        admin.execute(f"DROP ROLE IF EXISTS {name}")


@pytest.fixture(params=older.VERSIONS)
def before(
    request: pytest.FixtureRequest, server: TestServer, upstream_sql: str
) -> Iterator[tuple[psycopg.Connection, str]]:
    """A database with upstream in it, and what brings it to today's."""
    with (
        server.database(None) as dbname,
        psycopg.connect(server.dsn(dbname), autocommit=True) as session,
    ):
        yield session, older.install(server, session, upstream_sql, request.param)
