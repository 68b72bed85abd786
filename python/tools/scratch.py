"""A throwaway server for the programs of this folder."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from pgmq import embedded

if TYPE_CHECKING:
    from collections.abc import Iterator

BUILD = Path(__file__).resolve().parents[2] / "build"


@contextlib.contextmanager
def server(
    pg_config: str | Path | None = None, extension: Path | None = BUILD
) -> Iterator[embedded.Server]:
    """Start the wheel's Postgres, or a copy of the one whose pg_config this is; remove it."""
    with tempfile.TemporaryDirectory(prefix="pgmq-") as folder:
        Path(folder).chmod(0o755)  # root starts it as somebody else
        started = embedded.server(
            Path(folder) / "s",
            pg_config=pg_config,
            extension=extension,
            settings={"fsync": "off"},
        )
        try:
            yield started
        finally:
            started.stop(remove=True, mode="immediate")


@contextlib.contextmanager
def session(pg_config: str | Path | None = None) -> Iterator[psycopg.Connection]:
    """Open a session, in autocommit, to a server of its own that has the extension."""
    with (
        server(pg_config) as started,
        psycopg.connect(started.dsn(), autocommit=True) as connection,
    ):
        connection.execute("CREATE EXTENSION pgmq")
        yield connection
