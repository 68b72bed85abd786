"""Upstream 1.13, as extension and as plain SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.server import BUILD

if TYPE_CHECKING:
    import psycopg

    from support.server import TestServer

VERSIONS = ["1.13.0", "1.13.1", "plain SQL"]


def install(
    server: TestServer, session: psycopg.Connection, upstream_sql: str, version: str
) -> str:
    """Install a version of it, and return what brings it to today's."""
    if version == "plain SQL":
        session.execute(upstream_sql.encode())
        return (BUILD / "pgmq.sql").read_text()
    if server.embedded is None:
        pytest.skip("needs the embedded server, to put upstream's extension into it")
    # 1.13.1 differs from 1.13.0 in the body of the notify trigger only.
    (server.embedded.extension_dir / f"pgmq--{version}.sql").write_text(upstream_sql)
    session.execute(f"CREATE EXTENSION pgmq VERSION '{version}'")
    return "ALTER EXTENSION pgmq UPDATE"
