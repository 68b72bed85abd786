"""Older versions: upstream's 1.13 and 2.0.0, each as extension and as plain SQL."""

from __future__ import annotations

import lzma
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.server import BUILD

if TYPE_CHECKING:
    import psycopg

    from support.server import TestServer

VERSIONS = ["1.13.0", "1.13.1", "plain SQL"]
OF_2 = ["2.0.0", "2.0.0, plain SQL"]
# An extension that the plain file brings to today's, as plain SQL.
BY_FILE = ["1.13.0, by the file", "2.0.0, by the file"]
# Kept here, since not every copy of this repository has the history that it could be built of.
_FILE_OF_2 = Path(__file__).with_name("pgmq-2.0.0.sql.xz")


def install(
    server: TestServer, session: psycopg.Connection, upstream_sql: str, version: str
) -> str:
    """Install a version of it, and return what brings it to today's."""
    text = sql_of_2() if version.startswith("2.0.0") else upstream_sql
    plain = (BUILD / "pgmq.sql").read_text()
    if version.endswith("plain SQL"):
        session.execute(text.encode())
        return plain
    if server.embedded is None:
        pytest.skip("needs the embedded server, to put an older extension into it")
    # 1.13.1 differs from 1.13.0 in the body of the notify trigger only.
    number = version.partition(",")[0]
    (server.embedded.extension_dir / f"pgmq--{number}.sql").write_text(text)
    session.execute(f"CREATE EXTENSION pgmq VERSION '{number}'")
    return plain if version in BY_FILE else "ALTER EXTENSION pgmq UPDATE"


def sql_of_2() -> str:
    return lzma.decompress(_FILE_OF_2.read_bytes()).decode()
