"""What was there before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from upgrade import older

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Roles
    from support.server import TestServer


@pytest.fixture
def role(roles: Roles) -> str:
    return roles()


@pytest.fixture(params=older.VERSIONS)
def before(
    request: pytest.FixtureRequest, server: TestServer, upstream_sql: str, roles: Roles
) -> Iterator[tuple[psycopg.Connection, str]]:
    """A database with upstream in it, and what brings it to today's."""
    with (
        server.database() as dbname,
        psycopg.connect(server.dsn(dbname), autocommit=True) as session,
    ):
        yield session, older.install(server, session, upstream_sql, request.param)
