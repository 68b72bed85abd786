from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from pgmq import embedded
from support.server import BUILD, control

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.once

FAST = {"fsync": "off"}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory whose path is short enough for a socket, as tmp_path's may not be."""
    with tempfile.TemporaryDirectory(prefix="pgmq-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def _value(server: embedded.Server, query: str) -> object:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def test_a_server_creates_the_extension_and_is_gone_after_its_removal(folder: Path) -> None:
    with embedded.server(folder / "s", extension=BUILD, settings=FAST) as server:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute("CREATE EXTENSION pgmq")
        query = "SELECT extversion FROM pg_extension WHERE extname = 'pgmq'"
        assert _value(server, query) == control()["default_version"]
        assert _value(server, "SHOW fsync") == "off"
        assert _value(server, "SHOW listen_addresses") == ""
        assert server.psql.exists()
    assert not server.running
    server.stop(remove=True)
    assert list(folder.iterdir()) == []


def test_a_running_server_is_reused_and_a_stopped_one_keeps_its_data(folder: Path) -> None:
    server = embedded.server(folder / "s", settings=FAST)
    try:
        again = embedded.server(folder / "s")
        assert again.dsn() == server.dsn()
        assert _value(again, "SELECT pg_postmaster_start_time()") == _value(
            server, "SELECT pg_postmaster_start_time()"
        )
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute("CREATE TABLE kept ()")
        server.stop()
        assert embedded.find(folder / "s") is not None
        again = embedded.server(folder / "s", settings=FAST)
        assert _value(again, "SELECT 'kept'::regclass::text") == "kept"
        with pytest.raises(embedded.EmbeddedError, match="holds a server of Postgres"):
            embedded.server(folder / "s", version=server.major - 1)
    finally:
        server.stop(remove=True, mode="immediate")
    assert embedded.find(folder / "s") is None


def test_over_tcp_a_password_is_needed(folder: Path) -> None:
    # A port that nobody else has: the socket's name contains it as well.
    with embedded.server(folder / "s", settings=FAST, port=_free_port()) as server:
        with psycopg.connect(server.dsn(tcp=True)) as connection:
            assert connection.info.host == "127.0.0.1"
        without = server.dsn(tcp=True).partition(" password=")[0]
        with pytest.raises(psycopg.OperationalError, match="no password supplied"):
            psycopg.connect(without, passfile="/dev/null")


def test_nobody_else_may_enter_the_socket_directory(folder: Path) -> None:
    with embedded.server(folder / "s", settings=FAST) as server:
        mode = Path(server.socket_dir).stat().st_mode
    assert stat.S_IMODE(mode) == 0o700


def test_a_long_or_private_path_is_served_from_a_temporary_directory(folder: Path) -> None:
    private = folder / "private"
    private.mkdir(mode=0o700)
    path = private / ("long" * 30)
    server = embedded.server(path, settings=FAST)
    try:
        assert _value(server, "SELECT 1") == 1
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        if os.geteuid() == 0:
            assert path not in server.data_dir.parents
    finally:
        server.stop(remove=True, mode="immediate")
    assert list(private.iterdir()) == []
    assert not server.data_dir.exists()
    assert not Path(server.socket_dir).exists()


def test_what_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(embedded.EmbeddedError, match=r"no wheel here has Postgres 9, only \d+"):
        embedded.server(folder / "s", version=9)
    with pytest.raises(embedded.EmbeddedError, match="pg_config has no server beside it"):
        embedded.server(folder / "s", pg_config=folder / "pg_config")
    with pytest.raises(embedded.EmbeddedError, match="holds no control file and no script"):
        embedded.server(folder / "s", extension=folder)
    with pytest.raises(embedded.EmbeddedError, match=r"(?s)did not start: .*no_such_setting"):
        embedded.server(folder / "s", settings={"no_such_setting": "1"})
    assert embedded.find(folder / "s") is None


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
