"""What was there before: upstream 1.13, as extension and as plain SQL."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import psycopg
import pytest

from server import BUILD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server import TestServer


@pytest.fixture
def role(server: TestServer) -> Iterator[str]:
    """The name of a role that the test may make."""
    name = f"{server.prefix}_consumer_{os.getpid()}"
    yield name
    with server.admin() as admin:
        admin.execute(f"DROP ROLE IF EXISTS {name}")


@pytest.fixture(params=["1.13.0", "1.13.1", "plain SQL"])
def before(
    request: pytest.FixtureRequest, server: TestServer, upstream_sql: str
) -> Iterator[tuple[psycopg.Connection, str]]:
    """A database with upstream in it, and what brings it to today's."""
    version: str = request.param
    with (
        server.database(None) as dbname,
        psycopg.connect(server.dsn(dbname), autocommit=True) as session,
    ):
        if version == "plain SQL":
            session.execute(upstream_sql.encode())
            yield session, (BUILD / "pgmq.sql").read_text()
            return
        if server.embedded is None:
            pytest.skip("needs the embedded server, to put upstream's extension into it")
        # 1.13.1 differs from 1.13.0 in the body of the notify trigger only.
        (server.embedded.extension_dir / f"pgmq--{version}.sql").write_text(upstream_sql)
        session.execute(f"CREATE EXTENSION pgmq VERSION '{version}'")
        yield session, "ALTER EXTENSION pgmq UPDATE"
