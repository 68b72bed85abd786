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


# 1.13.1 has the same text as 1.13.0; that its script is there, test_same_schema.py looks at.
@pytest.fixture(params=["1.13.0", "plain SQL"])
def before(
    request: pytest.FixtureRequest, server: TestServer, upstream_sql: str, roles: Roles
) -> Iterator[tuple[psycopg.Connection, str]]:
    """A database with upstream in it, and what brings it to today's."""
    with (
        server.database() as dbname,
        psycopg.connect(server.dsn(dbname), autocommit=True) as session,
    ):
        yield session, older.install(server, session, upstream_sql, request.param)
